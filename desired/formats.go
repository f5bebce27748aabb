package desired

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// formats are the checks of the schema's formats, for what a pattern cannot say. Their errors are what would be right.
var formats = map[string]func(string) error{
	"go-duration":          func(s string) error { return checkDuration(s, 0, day) },
	"positive-go-duration": func(s string) error { return checkDuration(s, time.Millisecond, day) },
	"login-go-duration":    func(s string) error { return checkDuration(s, time.Millisecond, MostConnectTimeout) },
	"address":              checkAddress,
	"host-key":             checkHostKey,
	"absolute-path":        checkAbsolutePath,
	"node-path":            checkNodePath,
	"request-path":         checkRequestPath,
	"cidr":                 checkCIDR,
	"source-repository":    checkSourceRepository,
	"branch-name":          checkBranchName,
	"tag-template":         checkTagTemplate,
}

var durationShape = regexp.MustCompile(`^([0-9]+([.][0-9]+)?(ms|s|m|h))+$`)

const day = 24 * time.Hour

func checkDuration(s string, least, most time.Duration) error {
	if !durationShape.MatchString(s) {
		return nil // the schema's pattern says so
	}
	if d, err := time.ParseDuration(s); err != nil || d < least || d > most {
		return fmt.Errorf("it must be %v to %s", least, strings.TrimSuffix(most.String(), "0m0s"))
	}
	return nil
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,62})([.][A-Za-z0-9]([A-Za-z0-9-]{0,62}))*[.]?$`)

func checkAddress(s string) error {
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	if _, err := netip.ParseAddrPort(s); err == nil {
		return errors.New("it must be without a port, which ssh.port and the checks give")
	}
	if len(s) > 253 || !hostName.MatchString(s) {
		return errors.New("it must be an IP address or a host name, without a port")
	}
	if strings.Trim(s, "0123456789.") == "" {
		return errors.New("it is no IP address: it needs four numbers from 0 to 255")
	}
	return nil
}

func checkCIDR(s string) error {
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		if a, err := netip.ParseAddr(s); err == nil {
			return fmt.Errorf("one address is written %s/%d", a, a.BitLen())
		}
		return errors.New("it must be a network such as 10.0.3.0/24, or one address such as 10.0.3.7/32")
	case prefix != prefix.Masked():
		return fmt.Errorf("it names one address of the network %s; write that, or %s/%d", prefix.Masked(), prefix.Addr(), prefix.Addr().BitLen())
	case prefix.Bits() == 0:
		return errors.New("it must not be everybody")
	}
	return nil
}

var hostKeyTypes = []string{"ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"}

// checkHostKey checks the shape of a public key line, "type base64 [comment]": the base64 begins with the type's length
// and name (RFC 4253, section 6.6).
func checkHostKey(s string) error {
	shape := errors.New(`it must be a public key as in /etc/ssh/ssh_host_ed25519_key.pub: "ssh-ed25519 AAAA…"`)
	words := strings.Fields(s)
	if len(words) < 2 || strings.ContainsAny(s, "\n\r") {
		return shape
	}
	if !slices.Contains(hostKeyTypes, words[0]) {
		return fmt.Errorf("its type must be one of %s", strings.Join(hostKeyTypes, ", "))
	}
	blob, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil || len(blob) < 4 {
		return shape
	}
	n := binary.BigEndian.Uint32(blob)
	if rest := blob[4:]; uint64(n) > uint64(len(rest)) || string(rest[:n]) != words[0] || len(rest) < int(n)+32 {
		return fmt.Errorf("what follows %s is not a whole key of that type", words[0])
	}
	return nil
}

func checkAbsolutePath(s string) error {
	switch {
	case !path.IsAbs(s):
		return errors.New("it must be an absolute path")
	case s == "/" || strings.HasSuffix(s, "/"):
		return errors.New("it must name a file, not a directory")
	case s != path.Clean(s):
		return fmt.Errorf("it must be written plainly, as %s", path.Clean(s))
	case strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("it must hold no control characters")
	}
	return nil
}

// checkNodePath leaves ., .. and a leading - (which a command would take for an option) out of a path on a node.
func checkNodePath(s string) error {
	for part := range strings.SplitSeq(s, "/") {
		if part == "." || part == ".." || strings.HasPrefix(part, "-") {
			return fmt.Errorf("it must not hold %s", part)
		}
	}
	return nil
}

func checkRequestPath(s string) error {
	if strings.Contains(s, "#") {
		return errors.New("a part after # is never sent; remove it, or write %23")
	}
	if _, err := url.ParseRequestURI(s); err != nil && strings.HasPrefix(s, "/") {
		return errors.New("each % must begin an escape such as %20; write %25 for the character itself")
	}
	return nil
}
