// SPDX-License-Identifier: Apache-2.0
/*
 * The seccomp filter: what no packet appliance needs, each refused with an error. It looks at the number alone, but for
 * two calls that are rare: so the kernel remembers which numbers pass (since 5.11), and a packet's calls cost nothing
 * more.
 */
#define _GNU_SOURCE
#include "confine.h"

#include <asm/ioctls.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#error "write down this architecture's AUDIT_ARCH_"
#endif

/* For namespaces, which the demo makes and enters. */
static const short namespace_calls[] = { SYS_mount, SYS_umount2, SYS_unshare, SYS_setns };

static const short refused[] = {
	/* The file system's shape. */
	SYS_pivot_root, SYS_chroot, SYS_move_mount, SYS_open_tree, SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr,
	SYS_swapon, SYS_swapoff, SYS_quotactl, SYS_quotactl_fd, SYS_acct, SYS_mknodat, SYS_open_by_handle_at, SYS_fanotify_init,
	/* Other processes. */
	SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_process_madvise, SYS_kcmp, SYS_pidfd_getfd, SYS_move_pages,
	SYS_migrate_pages,
	/* The kernel. */
	SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_kexec_file_load, SYS_reboot, SYS_syslog, SYS_keyctl,
	SYS_add_key, SYS_request_key, SYS_perf_event_open, SYS_personality, SYS_vhangup, SYS_nfsservctl, SYS_lookup_dcookie,
	/* Its clock and its name. */
	SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_sethostname, SYS_setdomainname,
#ifdef __x86_64__
	SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_mknod, SYS_uselib, SYS_ustat, SYS_sysfs, SYS__sysctl,
	SYS_create_module, SYS_query_module, SYS_get_kernel_syms,
#endif
};

/* As if the kernel had none: the runtime then does without. */
static const short absent[] = { SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_userfaultfd };

#define NEW_NAMESPACES                                                                                                 \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

#define FIELD(name) offsetof(struct seccomp_data, name)
/* The low half of an argument, where the kernel looks for flags. */
#define ARGUMENT(number) (FIELD(args) + 8 * (number) + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0))
#define FAIL(error) (SECCOMP_RET_ERRNO | (error))

static struct sock_filter program[256];
static unsigned short length;

static void add(unsigned short code, unsigned int value, unsigned char if_true, unsigned char if_false)
{
	program[length++] = (struct sock_filter){ code, if_true, if_false, value };
}

static void load(unsigned int offset)
{
	add(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
}

static void answer(unsigned int verdict)
{
	add(BPF_RET | BPF_K, verdict, 0, 0);
}

static void refuse(const short *numbers, unsigned int count, unsigned int error)
{
	for (unsigned int i = 0; i < count; i++) {
		add(BPF_JMP | BPF_JEQ | BPF_K, numbers[i], 0, 1);
		answer(FAIL(error));
	}
}

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

void confine_calls(const struct verb *verb)
{
	struct sock_fprog filter = { .filter = program };

	load(FIELD(arch));
	add(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	answer(FAIL(ENOSYS)); /* the numbers of 32-bit programs are others */
	load(FIELD(nr));
#ifdef __x86_64__
	add(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1); /* x32 */
	answer(FAIL(ENOSYS));
#endif
	refuse(refused, COUNT(refused), EPERM);
	refuse(absent, COUNT(absent), ENOSYS);
	if (verb->namespaces == NO_NAMESPACES) {
		refuse(namespace_calls, COUNT(namespace_calls), EPERM);
		/* The flags of clone3 are in memory, where no filter can look: without it threads are made by clone. */
		refuse((const short[]){ SYS_clone3 }, 1, ENOSYS);
		add(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4);
		load(ARGUMENT(0));
		add(BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 0, 1);
		answer(FAIL(EPERM));
		answer(SECCOMP_RET_ALLOW);
	}
	/* Characters typed into the terminal that it was started from. */
	add(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 5);
	load(ARGUMENT(1));
	add(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0);
	add(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 0, 1);
	answer(FAIL(EPERM));
	answer(SECCOMP_RET_ALLOW);
	answer(SECCOMP_RET_ALLOW);

	filter.len = length;
	/* Nothing here runs code of strangers, so it needs not pay for a processor that does not speculate. */
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter))
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0);
}
