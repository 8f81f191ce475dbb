// Answers each datagram with its client's address, port and payload, as xdpsteer's client_address tells them.
//
// go run client_address.go ADDRESS PORT
package main

import (
	"encoding/binary"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"strings"
)

const proxyV2, simpleProxy = "\r\n\r\n\x00\r\nQUIT\n", "\x56\xec"

// With proxy_v2_first: a session's client, by the address and port that the box has for it.
var clients = map[netip.AddrPort]netip.AddrPort{}

func ends(address, port []byte) netip.AddrPort {
	client, _ := netip.AddrFromSlice(address)
	return netip.AddrPortFrom(client.Unmap(), binary.BigEndian.Uint16(port))
}

// Returns client, payload, and what answers have to begin with.
func read(data []byte, peer netip.AddrPort) (netip.AddrPort, []byte, []byte) {
	header := []byte{}
	if strings.HasPrefix(string(data), proxyV2) && len(data) >= 16 {
		end := min(16+int(binary.BigEndian.Uint16(data[14:])), len(data))
		switch kind := binary.BigEndian.Uint16(data[12:]); { // a client's datagram over IPv4, over IPv6
		case kind == 0x2112 && end >= 28:
			clients[peer] = ends(data[16:20], data[24:])
		case kind == 0x2122 && end >= 52:
			clients[peer] = ends(data[16:32], data[48:])
		}
		data = data[end:]
	} else if strings.HasPrefix(string(data), simpleProxy) && len(data) >= 38 {
		return ends(data[2:18], data[34:]), data[38:], data[:38]
	}
	if client, ok := clients[peer]; ok {
		return client, data, header
	}
	return netip.AddrPortFrom(peer.Addr().Unmap(), peer.Port()), data, header
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func main() {
	at, err := net.ResolveUDPAddr("udp", net.JoinHostPort(os.Args[1], os.Args[2]))
	if err != nil {
		log.Fatal(err)
	}
	server, err := net.ListenUDP("udp", at)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready")
	for buffer := make([]byte, 65536); ; {
		size, peer, err := server.ReadFromUDPAddrPort(buffer)
		if err != nil {
			log.Fatal(err)
		}
		client, payload, header := read(buffer[:size], peer)
		answer := fmt.Sprintf("%s%s %d %s", header, client.Addr(), client.Port(), payload)
		server.WriteToUDPAddrPort([]byte(answer), peer)
	}
}
