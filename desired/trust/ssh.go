package trust

import (
	"bytes"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// gitNamespace is what git signs for (git's gpg-interface.c).
const gitNamespace = "git"

const endSSH = "-----END SSH SIGNATURE-----"

// verifySSH verifies as `ssh-keygen -Y verify -n git` does, but that any line that fits counts, whatever their order.
func (k *Keys) verifySSH(c claim) (Signer, *Refusal) {
	signature, no := parseSSH(c.signature)
	if no != nil {
		return Signer{}, no
	}
	certificate, key := bare(signature.PublicKey)
	name := ssh.FingerprintSHA256(key)
	switch {
	case signature.Namespace != gitNamespace:
		return Signer{}, refused(NotAllowed, "its signature is for the namespace %q, not git: sign it with git", shown(signature.Namespace))
	case weakness(key) != "":
		return Signer{}, refused(Weak, "it is signed by %s: %s", name, weakness(key))
	case outdated(signature.Signature.Format):
		return Signer{}, refused(Weak, "its signature is of the algorithm %s, which is too weak: sign it again with a newer ssh-keygen", signature.Signature.Format)
	case k.revoked.has(key):
		return Signer{}, refused(Revoked, "the key %s that signed it is in %s", name, RevokedKeys)
	}
	if err := sshsig.Verify(bytes.NewReader(c.signed), signature, signature.PublicKey, signature.HashAlgorithm, gitNamespace); err != nil {
		return Signer{}, badSSH(name, err)
	}
	if certificate != nil {
		return k.certified(c, certificate)
	}
	return k.listed(c, key)
}

// parseSSH reads an armored signature as strictly as ssh-keygen does, and nothing beside it.
func parseSSH(armored string) (*sshsig.Signature, *Refusal) {
	body, rest, ended := strings.Cut(strings.TrimPrefix(armored, beginSSH), "\n"+endSSH)
	switch {
	case strings.Contains(rest, "-----BEGIN "):
		return nil, refused(Multiple, "it has more than one signature: sign it once")
	case !ended || !strings.HasPrefix(body, "\n") || strings.TrimSpace(rest) != "":
		return nil, refused(Malformed, "its SSH signature is damaged: sign it again")
	}
	blob, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		return nil, refused(Malformed, "its SSH signature is damaged: sign it again")
	}
	signature, err := sshsig.ParseSignature(blob)
	switch {
	case err == nil:
		return signature, nil
	case errors.Is(err, sshsig.ErrUnsupportedHashAlgorithm):
		return nil, refused(Weak, "its signature relies on a hash that is not supported (%s): sign it again with a newer ssh-keygen", shown(err.Error()))
	case strings.Contains(err.Error(), "signature format"):
		return nil, refused(Weak, "its signature is of an algorithm that is too weak or not supported (%s): sign it again with a newer ssh-keygen", shown(err.Error()))
	}
	return nil, refused(Malformed, "its SSH signature cannot be read (%s): sign it again", shown(err.Error()))
}

// bare is the key that signs, and the certificate that speaks for it; nil: there is none.
func bare(key ssh.PublicKey) (*ssh.Certificate, ssh.PublicKey) {
	if certificate, is := key.(*ssh.Certificate); is {
		return certificate, certificate.Key
	}
	return nil, key
}

// outdated reports whether an algorithm of signatures relies on SHA-1.
func outdated(algorithm string) bool {
	return algorithm == ssh.KeyAlgoRSA || algorithm == dsa
}

func badSSH(name string, err error) *Refusal {
	if strings.Contains(err.Error(), "user presence") {
		return refused(NotAllowed, "the security key %s signed it without being touched: sign it with one that needs a touch", name)
	}
	return refused(Bad, "its signature by %s does not fit what is signed: it was changed since", name)
}

// listed finds a line that lets a plain key sign; else the refusal is that of the line that comes nearest.
func (k *Keys) listed(c claim, key ssh.PublicKey) (Signer, *Refusal) {
	name := ssh.FingerprintSHA256(key)
	nearest := refused(UnknownKey, "it is signed by %s, a key of nobody in %s", name, AllowedSigners)
	for _, l := range k.lines {
		switch no := l.holds(c.at); {
		case !same(l.key, key):
		case l.authority:
			if nearest.Reason == UnknownKey {
				nearest = refused(NotAllowed, "it is signed by %s itself, which line %d of %s lets sign certificates only", name, l.at, AllowedSigners)
			}
		case no != nil:
			nearest = no
		default:
			return Signer{Name: l.principals, Key: name}, nil
		}
	}
	return Signer{}, nearest
}

// holds is why a line does not let its key sign for git at all of these times; nil: it does.
func (l line) holds(at []time.Time) *Refusal {
	if l.namespaces != "" && !matches(l.namespaces, gitNamespace) {
		return refused(NotAllowed, "line %d of %s lets %s sign for %s, not for git", l.at, AllowedSigners, l.fingerprint(), shown(l.namespaces))
	}
	for _, t := range at {
		switch {
		case t.Before(l.after):
			return refused(Expired, "line %d of %s lets %s sign from %s on, and it is of %s", l.at, AllowedSigners, l.fingerprint(), clock(l.after), clock(t))
		case !l.before.IsZero() && t.After(l.before):
			return refused(Expired, "line %d of %s lets %s sign until %s, and it is of %s", l.at, AllowedSigners, l.fingerprint(), clock(l.before), clock(t))
		}
	}
	return nil
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// certified finds a line that lets the authority of a certificate speak for whoever it names.
func (k *Keys) certified(c claim, certificate *ssh.Certificate) (Signer, *Refusal) {
	name, authority := ssh.FingerprintSHA256(certificate.Key), certificate.SignatureKey
	if k.revoked.has(authority) {
		return Signer{}, refused(Revoked, "the authority %s of the certificate that signed it is in %s", ssh.FingerprintSHA256(authority), RevokedKeys)
	}
	nearest := refused(UnknownKey, "it is signed with a certificate of the authority %s, which is none of %s: add it with cert-authority", ssh.FingerprintSHA256(authority), AllowedSigners)
	for _, l := range k.lines {
		if !l.authority || !same(l.key, authority) {
			continue
		}
		switch who, no := l.speaks(c, certificate); {
		case l.weak != "":
			nearest = refused(Weak, "it is signed with a certificate of %s: %s", l.fingerprint(), l.weak)
		case no != nil:
			nearest = no
		default:
			return Signer{Name: who, Key: name}, nil
		}
	}
	return Signer{}, nearest
}

// speaks tells for whom a certificate speaks by a line that names its authority. x/crypto looks neither at the certificate's type nor at whether it names
// anybody; ssh-keygen looks neither at critical options nor at SHA-1.
func (l line) speaks(c claim, certificate *ssh.Certificate) (string, *Refusal) {
	if no := l.holds(c.at); no != nil {
		return "", no
	}
	if algorithm := certificate.Signature.Format; outdated(algorithm) {
		return "", refused(Weak, "it is signed with a certificate that its authority signed by %s, which is too weak: issue it anew (ssh-keygen -t rsa-sha2-512 -s …)", algorithm)
	}
	if certificate.CertType != ssh.UserCert {
		return "", refused(NotAllowed, "it is signed with a host's certificate: sign it with a user's")
	}
	i := slices.IndexFunc(certificate.ValidPrincipals, func(name string) bool { return name != "" && matches(l.principals, name) })
	if i < 0 {
		return "", refused(NotAllowed, "it is signed with a certificate for %q, none of whom fits %q of line %d of %s", shown(strings.Join(certificate.ValidPrincipals, ",")), shown(l.principals), l.at, AllowedSigners)
	}
	if len(certificate.CriticalOptions) > 0 {
		return "", refused(NotAllowed, "it is signed with a certificate that demands %s, which is not understood: sign it with one without critical options",
			shown(strings.Join(slices.Sorted(maps.Keys(certificate.CriticalOptions)), ",")))
	}
	if no := current(certificate, c.at); no != nil {
		return "", no
	}
	who := certificate.ValidPrincipals[i]
	checker := ssh.CertChecker{Clock: func() time.Time { return c.at[0] }}
	if err := checker.CheckCert(who, certificate); err != nil {
		return "", refused(Bad, "it is signed with a certificate that %s did not make (%s)", l.fingerprint(), shown(strings.TrimPrefix(err.Error(), "ssh: ")))
	}
	return who, nil
}

// current is why a certificate does not hold at all of these times; nil: it does.
func current(certificate *ssh.Certificate, at []time.Time) *Refusal {
	for _, t := range at {
		now := uint64(max(0, t.Unix()))
		switch {
		case now < certificate.ValidAfter:
			return refused(Expired, "it is signed with a certificate that holds from %s on, and it is of %s", second(certificate.ValidAfter), clock(t))
		case now >= certificate.ValidBefore: // for ever is the largest of numbers
			return refused(Expired, "it is signed with a certificate that held until %s, and it is of %s", second(certificate.ValidBefore), clock(t))
		}
	}
	return nil
}

// second shows a time of a certificate, which may be none that there is.
func second(seconds uint64) string {
	if seconds > lastSecond {
		return "for ever"
	}
	return clock(time.Unix(int64(seconds), 0))
}
