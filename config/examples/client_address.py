"""Answers each datagram with its client's address, port and payload, as xdpsteer's client_address tells them.

python3 client_address.py ADDRESS PORT
"""
import ipaddress, socket, struct, sys

PROXY_V2, SIMPLE_PROXY = b"\r\n\r\n\0\r\nQUIT\n", b"\x56\xec"
clients = {}  # with proxy_v2_first: a session's client, by the address and port that the box has for it


def read(data, peer):
    """Returns client, payload, and what answers have to begin with."""
    if data[:12] == PROXY_V2:
        command, family, size = struct.unpack_from("!BBH", data, 12)
        width = {0x12: 4, 0x22: 16}.get(family, 0)  # a datagram over IPv4, over IPv6
        if command == 0x21 and width:  # not a check by the box itself, which tells no client
            port = struct.unpack_from("!H", data, 16 + 2 * width)[0]
            clients[peer] = str(ipaddress.ip_address(data[16:16 + width])), port
        return clients.get(peer, peer), data[16 + size:], b""
    if data[:2] == SIMPLE_PROXY and len(data) >= 38:
        address = ipaddress.IPv6Address(data[2:18])
        return (str(address.ipv4_mapped or address), struct.unpack_from("!H", data, 34)[0]), data[38:], data[:38]
    return clients.get(peer, peer), data, b""


server = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(65535)
    (address, port, *_), payload, header = read(data, peer)
    server.sendto(header + f"{address} {port} ".encode() + payload, peer)
