package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// A ring is GPG keys. Copies of one key stand beside each other in one group, each with the revocations of all: what one of them revokes is revoked. In all
// else the copy counts that was exported last, of those that were there at the time that is asked about.
type ring []copies

// copies are the exports of one key, one or more.
type copies []*openpgp.Entity

const (
	beginKeys = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	endKeys   = "-----END PGP PUBLIC KEY BLOCK-----"

	mostKeys = 1000
)

// parseRing reads every armored block of a text. The notes name keys that cannot be used; what is wrong is what is no block of public keys.
func parseRing(text string) (r ring, notes []string, wrong []error) {
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		switch line := strings.TrimRight(lines[i], " \t\r"); {
		case line == "" || line[0] == '#':
		case line == beginKeys:
			end := slices.IndexFunc(lines[i:], func(l string) bool { return strings.TrimRight(l, " \t\r") == endKeys })
			if end < 0 {
				return nil, nil, append(wrong, fmt.Errorf("%d: this block has no end", i+1))
			}
			noted, err := r.addBlock(lines[i+1 : i+end])
			if err != nil {
				wrong = append(wrong, fmt.Errorf("%d: %w", i+1, err))
			}
			for _, n := range noted {
				notes = append(notes, fmt.Sprintf("%s:%d: %s", Keyring, i+1, n))
			}
			i += end
		case strings.Contains(line, "PRIVATE KEY"):
			return nil, nil, append(wrong, fmt.Errorf("%d: that is a private key, which belongs to nobody but its owner: take it out of the history, revoke it, and export the public one", i+1))
		default:
			wrong = append(wrong, fmt.Errorf("%d: here should be %s, at the beginning of the line", i+1, beginKeys))
			end := slices.IndexFunc(lines[i:], func(l string) bool { return strings.Contains(l, endKeys) })
			i += max(0, end)
		}
	}
	r.merge()
	return r, notes, wrong
}

// addBlock adds the keys of one block, each by itself: go-crypto drops those it cannot use without a word.
func (r *ring) addBlock(lines []string) (notes []string, err error) {
	blob, err := dearmor(slices.Clone(lines))
	if err != nil {
		return nil, fmt.Errorf("this block cannot be read: %w", err)
	}
	keys, err := splitKeys(blob)
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		name := nameOf(key, i)
		found, err := openpgp.ReadKeyRing(bytes.NewReader(key))
		switch {
		case err != nil || len(found) != 1:
			notes = append(notes, fmt.Sprintf("%s cannot be used: %s", name, shown(fmt.Sprint(err))))
		default:
			if weak := weakPGP(found[0].PrimaryKey); weak != "" {
				notes = append(notes, fmt.Sprintf("%s cannot sign: %s", name, weak))
			}
			r.add(found[0])
		}
	}
	return notes, nil
}

// splitKeys cuts the packets of a block into those of each key.
func splitKeys(blob []byte) (keys [][]byte, err error) {
	packets := packet.NewOpaqueReader(bytes.NewReader(blob))
	for {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("this block cannot be read: %s", shown(err.Error()))
		}
		switch p.Tag {
		case tagSecretKey, tagSecretSubkey:
			return nil, errors.New("that is a private key, which belongs to nobody but its owner: take it out of the history, revoke it, and export the public one")
		case tagPublicKey:
			if len(keys) == mostKeys {
				return nil, fmt.Errorf("it has more than %d keys", mostKeys)
			}
			keys = append(keys, nil)
		}
		if len(keys) == 0 {
			return nil, errors.New("this block does not begin with a key")
		}
		var b bytes.Buffer
		_ = p.Serialize(&b) // into memory
		keys[len(keys)-1] = append(keys[len(keys)-1], b.Bytes()...)
	}
	if len(keys) == 0 {
		return nil, errors.New("this block has no key")
	}
	return keys, nil
}

// Kinds of OpenPGP packets (RFC 4880, 4.3).
const (
	tagSignature    = 2
	tagSecretKey    = 5
	tagPublicKey    = 6
	tagSecretSubkey = 7
)

// nameOf names a key by its fingerprint, else by its place.
func nameOf(key []byte, i int) string {
	p, err := packet.Read(bytes.NewReader(key))
	if public, is := p.(*packet.PublicKey); is && err == nil {
		return fingerprint(public)
	}
	return fmt.Sprintf("key %d of this block", i+1)
}

func fingerprint(key *packet.PublicKey) string { return fmt.Sprintf("%X", key.Fingerprint) }

func (r *ring) add(e *openpgp.Entity) {
	i := slices.IndexFunc(*r, func(c copies) bool { return bytes.Equal(c[0].PrimaryKey.Fingerprint, e.PrimaryKey.Fingerprint) })
	if i < 0 {
		*r = append(*r, copies{e})
		return
	}
	(*r)[i] = append((*r)[i], e)
}

// merge gives each copy of a key what any of them revokes.
func (r ring) merge() {
	for _, c := range r {
		if len(c) < 2 {
			continue
		}
		var all []*packet.Signature
		subkeys, identities := map[string][]*packet.Signature{}, map[string][]*packet.Signature{}
		for _, e := range c {
			all = append(all, e.Revocations...)
			for _, s := range e.Subkeys {
				subkeys[fingerprint(s.PublicKey)] = append(subkeys[fingerprint(s.PublicKey)], s.Revocations...)
			}
			for name, id := range e.Identities {
				identities[name] = append(identities[name], id.Revocations...)
			}
		}
		for _, e := range c {
			e.Revocations = all
			for i := range e.Subkeys {
				e.Subkeys[i].Revocations = subkeys[fingerprint(e.Subkeys[i].PublicKey)]
			}
			for name, id := range e.Identities {
				id.Revocations = identities[name]
			}
		}
	}
}

// has reports whether some copy has the key, or the subkey, of an identifier.
func (c copies) has(id uint64) bool {
	return slices.ContainsFunc(c, func(e *openpgp.Entity) bool { return len(openpgp.EntityList{e}.KeysById(id)) > 0 })
}

// asOf is the key of an identifier, which some copy has, as it was known at a time: in the newest copy that is not younger, else in the oldest one. A key whose
// expiry was brought forward has expired, though an old export beside it says otherwise.
func (c copies) asOf(at time.Time, id uint64) (found openpgp.Key) {
	var stated time.Time
	for _, e := range c {
		keys := openpgp.EntityList{e}.KeysById(id)
		if len(keys) == 0 {
			continue
		}
		s := statedAt(e)
		known, better := !s.After(at), s.After(stated)
		if found.Entity == nil || known && (stated.After(at) || better) || !known && !better {
			found, stated = keys[0], s
		}
	}
	return found
}

// statedAt is when an export last had something new to say: the time of the youngest of the signatures by which the key speaks of itself.
func statedAt(e *openpgp.Entity) (at time.Time) {
	for _, id := range e.Identities {
		if id.SelfSignature != nil {
			at = later(at, id.SelfSignature.CreationTime)
		}
	}
	for _, s := range e.Subkeys {
		at = later(at, s.Sig.CreationTime)
	}
	return at
}

// usable reports whether some key of the ring is not too weak.
func (r ring) usable() bool {
	return slices.ContainsFunc(r, func(c copies) bool { return weakPGP(c[0].PrimaryKey) == "" })
}

// weakPGP is why a key is not to be relied on; empty: it is.
func weakPGP(key *packet.PublicKey) string {
	switch key.PubKeyAlgo {
	case packet.PubKeyAlgoDSA:
		return "DSA keys are too weak"
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly:
		if bits, err := key.BitLength(); err != nil || bits < leastRSA {
			return fmt.Sprintf("an RSA key of %d bits is too weak, %d are needed", bits, leastRSA)
		}
	}
	return ""
}

// name is whose key it is: of the identities that are not revoked the one that is marked as the primary one, else the first by name.
func (c copies) name() string {
	var best *openpgp.Identity
	for _, id := range c[len(c)-1].Identities {
		if len(id.Revocations) == 0 && (best == nil || isPrimary(id) && !isPrimary(best) || isPrimary(id) == isPrimary(best) && id.Name < best.Name) {
			best = id
		}
	}
	if best == nil {
		return fingerprint(c[0].PrimaryKey)
	}
	return best.Name
}

func isPrimary(id *openpgp.Identity) bool {
	return id.SelfSignature != nil && id.SelfSignature.IsPrimaryId != nil && *id.SelfSignature.IsPrimaryId
}

// owns reports whether a key is of an address.
func (c copies) owns(mail string) bool {
	return mail != "" && slices.ContainsFunc(c, func(e *openpgp.Entity) bool {
		for name := range e.Identities {
			if address(name) == mail {
				return true
			}
		}
		return false
	})
}
