/* SPDX-License-Identifier: GPL-2.0 */
#ifndef XDPSTEER_SIP_HASH_H
#define XDPSTEER_SIP_HASH_H

#include <linux/types.h>

#define ROTATE(word, bits) ((word) << (bits) | (word) >> (64 - (bits)))
#define SIP_ROUND \
	do { \
		v0 += v1, v1 = ROTATE(v1, 13), v1 ^= v0, v0 = ROTATE(v0, 32); \
		v2 += v3, v3 = ROTATE(v3, 16), v3 ^= v2; \
		v0 += v3, v3 = ROTATE(v3, 21), v3 ^= v0; \
		v2 += v1, v1 = ROTATE(v1, 17), v1 ^= v2, v2 = ROTATE(v2, 32); \
	} while (0)

/* SipHash-1-3 of two words. Who does not know the key cannot choose sources that meet in one set. */
static __always_inline __u64 sip_hash(const volatile __u64 *key, __u64 first, __u64 second)
{
	__u64 v0 = key[0] ^ 0x736f6d6570736575, v1 = key[1] ^ 0x646f72616e646f6d;
	__u64 v2 = key[0] ^ 0x6c7967656e657261, v3 = key[1] ^ 0x7465646279746573;

	v3 ^= first;
	SIP_ROUND;
	v0 ^= first;
	v3 ^= second;
	SIP_ROUND;
	v0 ^= second;
	v2 ^= 0xff;
	SIP_ROUND;
	SIP_ROUND;
	SIP_ROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

/* The same of one word. */
static __always_inline __u64 sip_hash_of_word(const volatile __u64 *key, __u64 word)
{
	__u64 v0 = key[0] ^ 0x736f6d6570736575, v1 = key[1] ^ 0x646f72616e646f6d;
	__u64 v2 = key[0] ^ 0x6c7967656e657261, v3 = key[1] ^ 0x7465646279746573;

	v3 ^= word;
	SIP_ROUND;
	v0 ^= word;
	v2 ^= 0xff;
	SIP_ROUND;
	SIP_ROUND;
	SIP_ROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

#endif
