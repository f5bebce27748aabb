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
	pgp "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

const endPGP = "-----END PGP SIGNATURE-----"

// verifyPGP verifies as gpg does, and as of now or of when the object was made: gpg takes neither a key that has expired since, nor an export in which a renewed
// key has lost what it was then.
func (k *Keys) verifyPGP(c claim) (Signer, *Refusal) {
	blob, signature, no := parsePGP(c.signature)
	if no != nil {
		return Signer{}, no
	}
	made := signature.CreationTime
	switch life := signature.SigLifetimeSecs; {
	case made.After(c.now.Add(Ahead)):
		return Signer{}, &Refusal{Reason: Future, Again: made.Add(-Ahead),
			Text: fmt.Sprintf("it was signed at %s, %s ahead of this machine's clock: one of the two is wrong", clock(made), made.Sub(c.now).Round(time.Second))}
	case life != nil && *life > 0 && c.now.After(made.Add(time.Duration(*life)*time.Second)):
		return Signer{}, refused(Expired, "its signature was to count until %s only: sign it again", clock(made.Add(time.Duration(*life)*time.Second)))
	}
	no = k.unknownPGP(c, signature)
	for _, key := range k.ring.keys {
		if !key.has(*signature.IssuerKeyId) {
			continue
		}
		if no = key.verify(c, blob, signature); no == nil {
			return Signer{Name: key.name(), Key: fingerprint(key[0].PrimaryKey)}, nil
		}
	}
	return Signer{}, no
}

// parsePGP reads an armored signature: one, of one packet, and nothing beside it.
func parsePGP(armored string) ([]byte, *packet.Signature, *Refusal) {
	lines := strings.Split(armored, "\n")
	end := slices.IndexFunc(lines, func(l string) bool { return strings.TrimRight(l, " \t\r") == endPGP })
	switch {
	case strings.TrimRight(lines[0], " \t\r") != beginPGP || end < 0:
		return nil, nil, refused(Malformed, "its GPG signature is damaged: sign it again")
	case strings.TrimSpace(strings.Join(lines[end+1:], "")) != "":
		return nil, nil, refused(Multiple, "it has more than one signature, or something after it: sign it once")
	}
	blob, err := dearmor(lines[1:end])
	if err != nil {
		return nil, nil, refused(Malformed, "its GPG signature is damaged: sign it again")
	}
	packets := packet.NewOpaqueReader(bytes.NewReader(blob))
	for n := 0; ; n++ {
		p, err := packets.Next()
		switch {
		case errors.Is(err, io.EOF) && n == 1:
			return read(blob)
		case err != nil || p.Tag != tagSignature:
			return nil, nil, refused(Malformed, "its GPG signature is damaged: sign it again")
		case n == 1:
			return nil, nil, refused(Multiple, "it has more than one signature: sign it once")
		}
	}
}

func read(blob []byte) ([]byte, *packet.Signature, *Refusal) {
	p, err := readPacket(blob)
	signature, is := p.(*packet.Signature)
	var unsupported pgp.UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		return nil, nil, refused(Weak, "its signature is of an algorithm that is too weak or not supported (%s): sign it with another", shown(err.Error()))
	case err != nil || !is:
		return nil, nil, refused(Malformed, "its GPG signature cannot be read: sign it again")
	case signature.IssuerKeyId == nil:
		return nil, nil, refused(Malformed, "its GPG signature does not say by which key it is: sign it again")
	}
	return blob, signature, nil
}

// unknownPGP is the refusal of a signature by a key of which no copy is there.
func (k *Keys) unknownPGP(c claim, signature *packet.Signature) *Refusal {
	by := fmt.Sprintf("%016X", *signature.IssuerKeyId)
	if len(signature.IssuerFingerprint) > 0 {
		by = fmt.Sprintf("%X", signature.IssuerFingerprint)
	}
	if why, is := k.ring.unusable[*signature.IssuerKeyId]; is {
		return refused(Weak, "it is signed by %s, which is in %s and cannot be used: %s", by, Keyring, why)
	}
	mail := address(c.by)
	if i := slices.IndexFunc(k.ring.keys, func(key copies) bool { return key.owns(mail) }); i >= 0 {
		return refused(Stale, "it is signed by %s, and the key of %s in %s has no such subkey: export it again (gpg --armor --export %s)",
			by, shown(mail), Keyring, fingerprint(k.ring.keys[i][0].PrimaryKey))
	}
	return refused(UnknownKey, "it is signed by the GPG key %s, which is not in %s", by, Keyring)
}

// verify verifies a signature as of now and as of when the object was made. What a signer can date back is the object and the signature: the later of both
// counts, and of whatever else the key must have been good at.
func (c copies) verify(claimed claim, blob []byte, signature *packet.Signature) (first *Refusal) {
	then := signature.CreationTime
	for _, t := range claimed.at {
		then = later(then, t)
	}
	for _, t := range []time.Time{claimed.now, then} {
		no := verifyWith(c.asOf(t, *signature.IssuerKeyId), claimed.signed, blob, t)
		if no == nil {
			return nil
		}
		if first == nil {
			first = no
		}
	}
	return first
}

// verifyWith verifies a signature with one copy of a key, as of one time.
func verifyWith(key openpgp.Key, signed, blob []byte, at time.Time) *Refusal {
	if weak := weakPGP(key.PublicKey); weak != "" {
		return refused(Weak, "it is signed by %s: %s", fingerprint(key.PublicKey), weak)
	}
	if why := hardRevoked(key); why != "" {
		return refused(Revoked, "it is signed by %s, which was revoked (%s)", fingerprint(key.PublicKey), why)
	}
	config := &packet.Config{Time: func() time.Time { return at }}
	_, err := careful(func() (*openpgp.Entity, error) {
		return openpgp.CheckDetachedSignature(openpgp.EntityList{key.Entity}, bytes.NewReader(signed), bytes.NewReader(blob), config)
	})
	if err != nil {
		return badPGP(key, err)
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// hardRevoked is why a key counts for nothing, whatever it signed when; empty: it was not revoked, or only put out of use (superseded, retired).
func hardRevoked(key openpgp.Key) string {
	for _, r := range slices.Concat(key.Entity.Revocations, key.Revocations) {
		switch {
		case r.RevocationReason == nil || *r.RevocationReason == packet.NoReason:
			return "without a reason, at " + clock(r.CreationTime)
		case *r.RevocationReason != packet.KeySuperseded && *r.RevocationReason != packet.KeyRetired:
			return "as compromised, at " + clock(r.CreationTime)
		}
	}
	return ""
}

func badPGP(key openpgp.Key, err error) *Refusal {
	name := fingerprint(key.PublicKey)
	var signature pgp.SignatureError
	switch {
	case errors.Is(err, pgp.ErrKeyRevoked):
		return refused(Revoked, "it is signed by %s, which was revoked", name)
	case errors.Is(err, pgp.ErrKeyExpired), errors.Is(err, pgp.ErrSignatureExpired):
		return refused(Expired, "it is signed by %s, which was not good then and is not now: renew it, and export it again to %s", name, Keyring)
	case errors.Is(err, pgp.ErrUnknownIssuer):
		return refused(NotAllowed, "it is signed by %s, which is no key for signing", name)
	case errors.As(err, &signature) && strings.Contains(err.Error(), "notation"):
		return refused(NotAllowed, "its signature has a demand that is not understood (%s): sign it without", shown(err.Error()))
	case errors.As(err, &signature):
		return refused(Bad, "its signature by %s does not fit what is signed: it was changed since", name)
	}
	return refused(Malformed, "its signature by %s cannot be verified (%s)", name, shown(err.Error()))
}
