"""The far end of tunnels, where the kernel has no drivers for them: what comes out goes into a TUN device, and so to
the kernel. Prints "ready", and after that why a packet was refused.

python3 tunnel_end.py DEVICE
"""
import fcntl, os, select, socket, struct, sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
ETHERTYPES = {0x0800: 4, 0x86DD: 6}
PROTOCOLS = {4: 4, 41: 6}
GUE_PORT = 6080

device = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", sys.argv[1].encode(), IFF_TUN | IFF_NO_PI))
os.system(f"ip link set {sys.argv[1]} up mtu 9000")


def inner_of(kind, data):
    """The packet inside, and which IP version its tunnel says it is."""
    if kind == "gre":
        flags, ethertype = struct.unpack_from("!HH", data)
        assert flags == 0, f"GRE flags {flags:#x}"
        return data[4:], ETHERTYPES[ethertype]
    if kind == "gue":
        first, protocol, flags = struct.unpack_from("!BBH", data)
        assert (first, flags) == (0, 0), f"GUE {first:#x}, flags {flags:#x}"
        return data[4:], PROTOCOLS[protocol]
    return data, PROTOCOLS[kind]


ends = {}
for family in (socket.AF_INET, socket.AF_INET6):
    for protocol, kind in ((4, 4), (41, 41), (47, "gre")):
        ends[socket.socket(family, socket.SOCK_RAW, protocol)] = kind
    gue = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        gue.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    gue.bind(("", GUE_PORT))
    ends[gue] = "gue"
print("ready", flush=True)
while True:
    for end in select.select(list(ends), [], [])[0]:
        data = end.recv(65535)
        try:
            if end.type == socket.SOCK_RAW and end.family == socket.AF_INET:
                assert data[6:8] == b"\x40\0", "may be fragmented"
                data = data[(data[0] & 15) * 4:]
            packet, version = inner_of(ends[end], data)
            assert packet[0] >> 4 == version, f"IP version {packet[0] >> 4}, not {version}"
            os.write(device, packet)
        except Exception as error:
            print(f"{ends[end]}: {error!r}", flush=True)
