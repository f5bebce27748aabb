package trust

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

var errArmor = errors.New("its armor is damaged")

// dearmor decodes what stands between the BEGIN and END lines of OpenPGP armor, as strictly as gpg: headers, an empty line, base64, and a checksum, which
// may be missing and must be right (RFC 4880, 6.2).
func dearmor(lines []string) ([]byte, error) {
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t\r")
	}
	for len(lines) > 0 && lines[0] != "" {
		if !strings.Contains(lines[0], ": ") {
			return nil, errArmor
		}
		lines = lines[1:]
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) < 2 {
		return nil, errArmor
	}
	sum := ""
	if last := lines[len(lines)-1]; strings.HasPrefix(last, "=") && len(last) == 5 {
		sum, lines = last[1:], lines[:len(lines)-1]
	}
	blob, err := base64.StdEncoding.DecodeString(strings.Join(lines, ""))
	if err != nil || sum != "" && sum != checksum(blob) {
		return nil, errArmor
	}
	return blob, nil
}

// checksum is the CRC-24 of OpenPGP armor, in base64 (RFC 4880, 6.1).
func checksum(blob []byte) string {
	crc := uint32(0xb704ce)
	for _, b := range blob {
		crc ^= uint32(b) << 16
		for range 8 {
			if crc <<= 1; crc&0x1000000 != 0 {
				crc ^= 0x1864cfb
			}
		}
	}
	return base64.StdEncoding.EncodeToString([]byte{byte(crc >> 16), byte(crc >> 8), byte(crc)})
}

var errBeyond = errors.New("it is nothing that the library knows to read")

// careful calls a library with bytes that anybody may have made. A panic of its is an error here: who can push a commit must not be able to end the agent.
func careful[T any](call func() (T, error)) (result T, err error) {
	defer func() {
		if recover() != nil {
			err = errBeyond
		}
	}()
	return call()
}

// readPacket reads the first OpenPGP packet of some bytes.
func readPacket(blob []byte) (packet.Packet, error) {
	return careful(func() (packet.Packet, error) { return packet.Read(bytes.NewReader(blob)) })
}
