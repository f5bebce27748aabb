package trust

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Kinds of OpenPGP packets (RFC 4880, 4.3).
const (
	tagSignature    = 2
	tagSecretKey    = 5
	tagPublicKey    = 6
	tagSecretSubkey = 7
	tagPublicSubkey = 14
)

// Parts are the packets of one key: first of the key itself, with whose it is, then of each subkey.
type parts []part

// A part is packets: a key or a subkey, and what is said of it.
type part []byte

// splitKeys takes the packets of a block apart into keys, and those into parts.
func splitKeys(blob []byte) (keys []parts, err error) {
	packets := packet.NewOpaqueReader(bytes.NewReader(blob))
	for {
		p, err := packets.Next()
		switch {
		case errors.Is(err, io.EOF) && len(keys) > 0:
			return keys, nil
		case errors.Is(err, io.EOF):
			return nil, errors.New("this block has no key")
		case err != nil:
			return nil, fmt.Errorf("this block cannot be read: %s", shown(err.Error()))
		case p.Tag == tagSecretKey || p.Tag == tagSecretSubkey:
			return nil, errPrivate
		case p.Tag == tagPublicKey:
			keys = append(keys, parts{nil})
		case p.Tag == tagSignature && len(keys) == 0:
			return nil, errors.New("that is a signature, such as a revocation, and no key: import it (gpg --import), and export the key again")
		case len(keys) == 0:
			return nil, errors.New("this block does not begin with a key")
		case p.Tag == tagPublicSubkey:
			keys[len(keys)-1] = append(keys[len(keys)-1], nil)
		}
		if key := keys[len(keys)-1]; len(keys) > mostKeys || len(key) > mostSubkeys {
			return nil, fmt.Errorf("it has more than %d keys, or more than %d subkeys of one", mostKeys, mostSubkeys)
		}
		var b bytes.Buffer
		_ = p.Serialize(&b) // into memory
		last := &keys[len(keys)-1][len(keys[len(keys)-1])-1]
		*last = append(*last, b.Bytes()...)
	}
}

// How many keys a block may have, and parts a key.
const (
	mostKeys    = 1000
	mostSubkeys = 100
)

var errPrivate = errors.New("that is a private key, which belongs to nobody but its owner: take it out of the history, revoke it, and export the public one")

// A leftover is a subkey that cannot be used.
type leftover struct {
	part part
	err  error
}

// read reads a key. go-crypto takes all of a key for unusable when one of its subkeys is; gpg leaves that subkey out, and so does this.
func (key parts) read() (e *openpgp.Entity, left []leftover, err error) {
	if e, err = readEntity(key); err == nil {
		return e, nil, nil
	}
	good := key[:1:1]
	for _, p := range key[1:] {
		_, err := readEntity(parts{key[0], p})
		switch {
		case p.public() == nil:
			left = append(left, leftover{p, errors.New("its algorithm is not supported")})
		case err != nil:
			left = append(left, leftover{p, err})
		default:
			good = append(good, p)
		}
	}
	e, err = readEntity(good)
	return e, left, err
}

func readEntity(key parts) (*openpgp.Entity, error) {
	found, err := careful(func() (openpgp.EntityList, error) { return openpgp.ReadKeyRing(bytes.NewReader(slices.Concat(key...))) })
	if err != nil {
		return nil, err
	}
	if len(found) != 1 {
		return nil, errors.New("it is no key")
	}
	for name, id := range found[0].Identities {
		if id.SelfSignature == nil { // only taken back, which go-crypto counts for a name
			delete(found[0].Identities, name)
		}
	}
	if self, _ := found[0].PrimarySelfSignature(); self == nil {
		return nil, errors.New("it says of itself neither whose it is nor what it is for")
	}
	return found[0], nil
}

// public is the key or subkey of a part; nil: it cannot be read.
func (p part) public() *packet.PublicKey {
	first, err := readPacket(p)
	public, is := first.(*packet.PublicKey)
	if err != nil || !is {
		return nil
	}
	return public
}

// name is the fingerprint of a part; else what it is called otherwise.
func (p part) name(otherwise string) string {
	if public := p.public(); public != nil {
		return fingerprint(public)
	}
	return otherwise
}
