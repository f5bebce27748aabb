package bench

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"windlass/desired/trust"
)

// BenchmarkVerifying verifies as many commits as a long weekend brings, by a key of either kind.
func BenchmarkVerifying(b *testing.B) {
	const commits, most = 1000, 2 * time.Second
	keys, sign := signers(b)
	for kind, sign := range sign {
		raw := make([][]byte, commits)
		for i := range raw {
			raw[i] = sign(fmt.Sprintf("tree %040d\nparent %040d\nauthor Ann <ann@example.org> %d +0000\ncommitter Ann <ann@example.org> %[3]d +0000\n\ndeploy v1.%[1]d\n", i, i, noon.Unix()))
		}
		what := fmt.Sprintf("verify %d commits signed by %s keys", commits, kind)
		b.Run(what, func(b *testing.B) {
			took := usual(b, 3, func() {
				for _, c := range raw {
					if _, err := keys.Commit(c, noon); err != nil {
						b.Fatal(err)
					}
				}
			})
			table.add(what, millis(took), "≤ "+most.String(), took <= most)
		})
	}
}

// signers are who may sign, and how they sign a commit, by the kind of their key.
func signers(b *testing.B) (*trust.Keys, map[string]func(string) []byte) {
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	key, err := ssh.NewPublicKey(public)
	must(err)
	signer, err := ssh.NewSignerFromKey(private)
	must(err)
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return noon }}
	entity, err := openpgp.NewEntity("Ann", "", "ann@example.org", config)
	must(err)
	var ring bytes.Buffer
	block, err := armor.Encode(&ring, openpgp.PublicKeyType, nil)
	must(err)
	must(entity.Serialize(block))
	must(block.Close())
	keys, err := trust.Read(fstest.MapFS{
		trust.AllowedSigners: {Data: append([]byte("ann@example.org "), ssh.MarshalAuthorizedKey(key)...)},
		trust.Keyring:        {Data: append(ring.Bytes(), '\n')},
	})
	must(err)
	return keys, map[string]func(string) []byte{
		"SSH": func(c string) []byte {
			s, err := sshsig.Sign(strings.NewReader(c), signer, sshsig.HashSHA512, "git")
			must(err)
			return inHeader(c, string(sshsig.Armor(s)))
		},
		"GPG": func(c string) []byte {
			var s bytes.Buffer
			must(openpgp.ArmoredDetachSign(&s, entity, strings.NewReader(c), config))
			return inHeader(c, s.String()+"\n")
		},
	}
}

// inHeader puts a signature into the header of a commit.
func inHeader(commit, signature string) []byte {
	head, message, _ := strings.Cut(commit, "\n\n")
	return []byte(head + "\ngpgsig " + strings.ReplaceAll(strings.TrimSuffix(signature, "\n"), "\n", "\n ") + "\n\n" + message)
}
