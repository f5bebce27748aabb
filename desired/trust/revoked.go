package trust

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// A keySet is SSH keys, by their wire format.
type keySet map[string]bool

func (s keySet) has(key ssh.PublicKey) bool { return s[string(key.Marshal())] }

// parseRevoked reads SSH public keys, one a line.
func parseRevoked(text string) (keySet, []error) {
	if strings.HasPrefix(text, "SSHKRL\n") {
		return nil, []error{errors.New(" a key revocation list is not supported: write the public keys, one a line")}
	}
	set, wrong := keySet{}, []error{}
	for i, said := range strings.Split(text, "\n") {
		said = strings.TrimSpace(said)
		if said == "" || said[0] == '#' {
			continue
		}
		key, err := parseKey(said)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%d: %w", i+1, err))
			continue
		}
		set[string(key.Marshal())] = true
	}
	return set, wrong
}
