package trust_test

import (
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"windlass/desired/trust"
)

// turnsBad is where git's answer changes by itself.
const turnsBad = "a signature that was good when it was made does not turn bad by itself"

func ring(blocks ...string) files { return files{trust.Keyring: strings.Join(blocks, "\n")} }

// old is a GPG key of a year ago.
func (w *world) old(id, algorithm string) string {
	w.t.Helper()
	return w.gpgKey(noon.Add(-year), id, algorithm, "never")
}

// committed is a commit of a time that a GPG key signed at that time.
func (w *world) committed(key string, at time.Time, args ...string) string {
	w.t.Helper()
	c := w.commit(at)
	return signed(c, w.byGPG(key, c, at, args...))
}

func gpgCommits(w *world) []verdict {
	return slices.Concat(gpgKinds(w), gpgClocks(w), gpgExpiries(w), gpgSubkeys(w), gpgRevocations(w))
}

// gpgKinds are algorithms and armor of all kinds.
func gpgKinds(w *world) []verdict {
	c := w.commit(noon)
	by := func(key string, args ...string) string { return w.committed(key, noon, args...) }
	ann, bob, eve := w.old("Ann <annie@example.org>", "ed25519"), w.old("Bob <bob@example.org>", "rsa2048"), w.old("Eve <eve@example.com>", "ed25519")
	weak, nist, pool := w.old("Weak <weak@example.org>", "rsa1024"), w.old("Nist <nist@example.org>", "nistp256"), w.old("Pool <pool@example.org>", "brainpoolP256r1")
	annAndBob, once := ring("# two in one block\n"+w.export(ann, bob), w.export(weak)), w.byGPG(ann, c, noon)
	return []verdict{
		{name: "GPG", files: annAndBob, commit: by(ann)},
		{name: "GPG, RSA", files: annAndBob, commit: by(bob)},
		{name: "GPG, SHA-1", files: annAndBob, commit: by(bob, "--digest-algo", "SHA1")},
		{name: "GPG, RSA of 1024 bits", files: annAndBob, commit: by(weak), want: trust.Weak, differs: "short RSA keys are refused"},
		{name: "GPG, RIPEMD-160", files: annAndBob, commit: by(bob, "--digest-algo", "RIPEMD160"), want: trust.Weak, differs: "the library knows no RIPEMD-160, which nobody should sign with"},
		{name: "GPG, MD5", files: annAndBob, commit: by(bob, "--allow-weak-digest-algos", "--digest-algo", "MD5"), want: trust.Weak},
		{name: "GPG, a NIST curve", files: ring(w.export(nist)), commit: by(nist)},
		{name: "GPG, a Brainpool curve", files: ring(w.export(pool)), commit: by(pool)},
		{name: "unknown GPG key", files: ring(w.export(bob)), commit: by(eve), want: trust.UnknownKey},
		{name: "key of nobody", files: ring(w.edited(w.export(ann), nameless), w.export(bob)), commit: by(ann), want: trust.Weak},
		{name: "another GPG message", files: annAndBob, commit: strings.Replace(by(ann), "deploy", "destroy", 1), want: trust.Bad},
		{name: "signature with a demand", files: annAndBob, commit: by(ann, "--sig-notation", "!team@example.org=ops"), want: trust.NotAllowed},
		{name: "GPG, of a text", files: annAndBob, commit: by(ann, "--textmode")},
		{name: "GPG, with a comment", files: annAndBob, commit: by(ann, "--comment", "for windlass", "--emit-version")},
		{name: "text before a GPG signature", files: annAndBob, commit: signed(c, "Hello\n"+once), want: trust.Malformed},
		{name: "Windows' ends of lines in a GPG signature", files: annAndBob, commit: signed(c, strings.ReplaceAll(once, "\n", "\r\n"))},
		{name: "signed twice by GPG, in one armor", files: annAndBob, commit: signed(c, w.joined(once, w.byGPG(bob, c, noon))), want: trust.Multiple},
		{name: "signed twice by GPG", files: annAndBob, commit: signed(c, once+w.byGPG(bob, c, noon)), want: trust.Multiple},
		{name: "wrong checksum", files: annAndBob, commit: wrongSum(by(ann)), want: trust.Malformed},
		{name: "cut short", files: annAndBob, commit: strings.Replace(by(ann), " -----END PGP SIGNATURE-----\n", "", 1), want: trust.Malformed,
			differs: "gpg does without the end of a signature"},
	}
}

// gpgClocks are signatures of other times than now.
func gpgClocks(w *world) []verdict {
	ann, fast := w.old("Early Ann <ann@clocks.example.org>", "ed25519"), w.gpgKey(noon.Add(time.Minute), "Fast <fast@example.com>", "ed25519", "never")
	c := w.commit(noon)
	by := func(key string, at time.Time) string { return signed(c, w.byGPG(key, c, at)) }
	return []verdict{
		{name: "a clock that is a minute ahead", files: ring(w.export(ann)), commit: by(ann, noon.Add(time.Minute))},
		{name: "a key from a minute ahead", files: ring(w.export(fast)), commit: by(fast, noon.Add(2*time.Minute)),
			differs: "git refuses until the clocks agree; minutes are nobody's bad will"},
		{name: "a clock that is an hour ahead", files: ring(w.export(ann)), commit: by(ann, noon.Add(hour)), want: trust.Future, differs: "git does not look at when a signature was made"},
		{name: "signature that has run out", files: ring(w.export(ann)), commit: w.committed(ann, noon.Add(-2*day), "--default-sig-expire", "1d"), want: trust.Expired},
	}
}

// gpgExpiries are signatures by keys whose end was moved.
func gpgExpiries(w *world) []verdict {
	c := w.commit(noon)
	short := w.gpgKey(noon.Add(-10*day), "Short <short@example.org>", "ed25519", "20260531T000000")
	beforeExpiry := w.committed(short, noon.Add(-5*day))
	late := signed(c, w.byGPG(short, c, noon.Add(-5*day)))
	expired := w.export(short)
	w.gpg(noon, "", "--quick-set-expire", short, "1y")
	renewed, afterRenewal := w.export(short), w.committed(short, noon)

	early := w.old("Early <early@example.org>", "ed25519")
	forEver := w.export(early)
	w.gpg(noon.Add(-5*day), "", "--quick-set-expire", early, "20260530T000000")
	ended := w.export(early)
	beforeTheEnd, weekBefore := signed(c, w.byGPG(early, c, noon.Add(-4*day))), w.committed(early, noon.Add(-7*day))
	return []verdict{
		{name: "key expired since", files: ring(expired), commit: beforeExpiry, differs: turnsBad},
		{name: "expired key, dated back", files: ring(expired), commit: late, want: trust.Expired},
		{name: "renewed key", files: ring(expired, renewed), commit: afterRenewal},
		{name: "renewed key, exports in the other order", files: ring(renewed, expired), commit: afterRenewal},
		{name: "signed before the key was renewed", files: ring(renewed), commit: beforeExpiry},
		{name: "end brought forward, beside the export for ever", files: ring(ended, forEver), commit: beforeTheEnd, want: trust.Expired},
		{name: "end brought forward, exports in the other order", files: ring(forEver, ended), commit: beforeTheEnd, want: trust.Expired},
		{name: "signed before the end was brought forward", files: ring(ended, forEver), commit: weekBefore, differs: turnsBad},
		{name: "signed before the end was brought forward, exports in the other order", files: ring(forEver, ended), commit: weekBefore, differs: turnsBad},
	}
}

func gpgSubkeys(w *world) []verdict {
	c := w.commit(noon)
	sub := w.old("Sub <ann@example.org>", "ed25519")
	old := w.export(sub)
	w.gpg(noon.Add(-hour), "", "--quick-add-key", sub, "ed25519", "sign")
	withSubkey, bySubkey, byPrimary := w.export(sub), w.committed(sub, noon), w.committed(sub+"!", noon)

	passing := w.old("Passing <passing@example.org>", "ed25519")
	w.gpg(noon.Add(-10*day), "", "--quick-add-key", passing, "ed25519", "sign")
	lasting := w.export(passing)
	w.gpg(noon.Add(-6*day), "", "--quick-set-expire", passing, "20260531T000000", "*")
	passed := w.export(passing)
	bySubkeyThen, bySubkeyLate := w.committed(passing, noon.Add(-5*day)), signed(c, w.byGPG(passing, c, noon.Add(-5*day)))
	return []verdict{
		{name: "subkey", files: ring(withSubkey), commit: bySubkey},
		{name: "subkey that the export lacks", files: ring(old), commit: bySubkey, want: trust.Stale},
		{name: "subkey in the second of two exports", files: ring(old, withSubkey), commit: bySubkey},
		{name: "subkey that says not whose it is", files: ring(w.edited(withSubkey, unbound)), commit: bySubkey, want: trust.Weak},
		{name: "key with a subkey that says not whose it is", files: ring(w.edited(withSubkey, unbound)), commit: byPrimary},
		{name: "key with a subkey of an unknown algorithm", files: ring(w.edited(withSubkey, foreign)), commit: byPrimary},
		{name: "subkey expired since", files: ring(passed), commit: bySubkeyThen, differs: turnsBad},
		{name: "expired subkey, dated back", files: ring(passed), commit: bySubkeyLate, want: trust.Expired},
		{name: "subkey's end brought forward, beside the export for ever", files: ring(lasting, passed), commit: bySubkeyLate, want: trust.Expired},
	}
}

// gpgRevocations are signatures of five days ago by keys that were taken back yesterday.
func gpgRevocations(w *world) []verdict {
	revoked := func(name, reason string) (export, signed string) {
		key := w.old(name+" <"+name+"@example.org>", "ed25519")
		signed, before := w.committed(key, noon.Add(-5*day)), w.export(key)
		certificate := w.gpgAnswers(noon.Add(-day), []string{"y", reason, "", "y"}, "--armor", "--gen-revoke", key)
		w.gpg(noon, certificate, "--import")
		return before + "\n" + w.export(key), signed
	}
	compromised, byCompromised := revoked("lost", "1")
	superseded, bySuperseded := revoked("former", "2")
	unreasoned, byUnreasoned := revoked("gone", "0")

	lost := w.old("Sam <sam@example.org>", "ed25519")
	w.gpg(noon.Add(-10*day), "", "--quick-add-key", lost, "ed25519", "sign")
	byLost, byItsPrimary, unrevoked := w.committed(lost, noon.Add(-5*day)), w.committed(lost+"!", noon), w.export(lost)
	w.gpgAnswers(noon.Add(-day), []string{"key 1", "revkey", "y", "0", "", "y", "save"}, "--edit-key", lost)
	taken := w.export(lost)

	moved := w.old("Ancient <old@example.org>", "ed25519")
	w.gpg(noon.Add(-10*day), "", "--quick-add-uid", moved, "New <new@example.org>")
	w.gpg(noon.Add(-5*day), "", "--quick-revoke-uid", moved, "Ancient <old@example.org>")
	return []verdict{
		{name: "revoked as compromised", files: ring(compromised), commit: byCompromised, want: trust.Revoked},
		{name: "revoked as superseded", files: ring(superseded), commit: bySuperseded, differs: "it was signed before its key was put out of use"},
		{name: "revoked without a reason", files: ring(unreasoned), commit: byUnreasoned, want: trust.Revoked},
		{name: "revoked subkey, beside an export of before", files: ring(unrevoked, taken), commit: byLost, want: trust.Revoked},
		{name: "revoked subkey, exports in the other order", files: ring(taken, unrevoked), commit: byLost, want: trust.Revoked},
		{name: "revoked subkey", files: ring(taken), commit: byLost, want: trust.Revoked},
		{name: "key with a revoked subkey", files: ring(taken), commit: byItsPrimary},
		{name: "key with a revoked name", files: ring(w.export(moved)), commit: w.committed(moved, noon), by: "New <new@example.org>"},
	}
}

// wrongSum changes the checksum of a signature's armor.
func wrongSum(commit string) string {
	at := strings.LastIndex(commit, "\n =") + len("\n =")
	return commit[:at] + base64.StdEncoding.EncodeToString([]byte{1, 2, 3}) + commit[at+4:]
}
