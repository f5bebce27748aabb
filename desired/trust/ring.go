package trust

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// A ring is GPG keys. Copies of one key stand beside each other in one group, each with the revocations of all: what one of them revokes is revoked. In all
// else the copy counts that was exported last, of those that were there at the time that is asked about.
type ring struct {
	keys     []copies
	unusable map[uint64]string // why a key or subkey that is there counts for nothing, by its identifier
}

// copies are the exports of one key, one or more.
type copies []*openpgp.Entity

const (
	beginKeys = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
	endKeys   = "-----END PGP PUBLIC KEY BLOCK-----"
)

// parseRing reads every armored block of a text. The notes name keys that cannot be used; what is wrong is what is no block of public keys.
func parseRing(text string) (r ring, notes []string, wrong []error) {
	r.unusable = map[uint64]string{}
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		switch line := strings.TrimRight(lines[i], " \t\r"); {
		case line == "" || line[0] == '#':
		case line == beginKeys:
			end := slices.IndexFunc(lines[i:], func(l string) bool { return strings.TrimRight(l, " \t\r") == endKeys })
			if end < 0 {
				return r, nil, append(wrong, fmt.Errorf("%d: this block has no end", i+1))
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
			return r, nil, append(wrong, fmt.Errorf("%d: %w", i+1, errPrivate))
		default:
			wrong = append(wrong, fmt.Errorf("%d: here should be %s, at the beginning of the line", i+1, beginKeys))
			end := slices.IndexFunc(lines[i:], func(l string) bool { return strings.Contains(l, endKeys) })
			i += max(0, end)
		}
	}
	r.merge()
	return r, append(notes, r.revoked()...), wrong
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
		e, left, err := key.read()
		if err != nil {
			notes = append(notes, fmt.Sprintf("%s cannot be used: %s", key[0].name(fmt.Sprintf("key %d of this block", i+1)), r.leave(key, err)))
			continue
		}
		for _, l := range left {
			notes = append(notes, fmt.Sprintf("%s of %s cannot be used: %s", l.part.name("a subkey"), fingerprint(e.PrimaryKey), r.leave(parts{l.part}, l.err)))
		}
		if weak := weakPGP(e.PrimaryKey); weak != "" {
			notes = append(notes, fmt.Sprintf("%s cannot sign: %s", fingerprint(e.PrimaryKey), weak))
		}
		r.add(e)
	}
	return notes, nil
}

// leave keeps in mind that a key, or a subkey, is there and cannot be used, and returns why.
func (r *ring) leave(key parts, err error) string {
	why := shown(strings.NewReplacer("openpgp: ", "", "invalid data: ", "").Replace(err.Error()))
	for _, p := range key {
		if public := p.public(); public != nil {
			r.unusable[public.KeyId] = why
		}
	}
	return why
}

func fingerprint(key *packet.PublicKey) string { return fmt.Sprintf("%X", key.Fingerprint) }

func (r *ring) add(e *openpgp.Entity) {
	i := slices.IndexFunc(r.keys, func(c copies) bool { return bytes.Equal(c[0].PrimaryKey.Fingerprint, e.PrimaryKey.Fingerprint) })
	if i < 0 {
		r.keys = append(r.keys, copies{e})
		return
	}
	r.keys[i] = append(r.keys[i], e)
}

// merge gives each copy of a key what any of them revokes.
func (r ring) merge() {
	for _, c := range r.keys {
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

// asOf is the key of an identifier, which some copy has, as it was known at a time: in the newest copy that is not younger, else in any. A key whose
// expiry was brought forward has expired, though an old export beside it says otherwise.
func (c copies) asOf(at time.Time, id uint64) (found openpgp.Key) {
	var stated time.Time
	for _, e := range c {
		keys := openpgp.EntityList{e}.KeysById(id)
		if len(keys) == 0 {
			continue
		}
		if s := statedAt(e); found.Entity == nil || !s.After(at) && (stated.After(at) || s.After(stated)) {
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

// revoked names the keys that count for nothing any more.
func (r ring) revoked() (notes []string) {
	for _, c := range r.keys {
		if why := hardRevoked(openpgp.Key{Entity: c[0]}); why != "" {
			notes = append(notes, fmt.Sprintf("%s: %s signs nothing: it was revoked (%s)", Keyring, fingerprint(c[0].PrimaryKey), why))
		}
	}
	return notes
}

// usable reports whether some key of the ring is not too weak.
func (r ring) usable() bool {
	return slices.ContainsFunc(r.keys, func(c copies) bool {
		return slices.ContainsFunc(c, func(e *openpgp.Entity) bool {
			return weakPGP(e.PrimaryKey) == "" || slices.ContainsFunc(e.Subkeys, func(s openpgp.Subkey) bool { return weakPGP(s.PublicKey) == "" })
		})
	})
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
