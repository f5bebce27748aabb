package cage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// etcLeftOut are parts of /etc that lead to other machines, or that this machine's people put secrets into.
var etcLeftOut = []string{
	"windlass", "ssh", "aws", "docker", "containers", "kubernetes", "rancher", "environment", "environment.d", "profile.d", "hosts", "hostname", "resolv.conf", "machine-id",
	"shadow", "shadow-", "gshadow", "gshadow-", "sudoers", "sudoers.d", "ssl/private", "security", "netrc", "wgetrc", "curlrc", "pip.conf", "npmrc", "gitconfig",
	"NetworkManager", "wireguard", "openvpn", "ppp", "krb5.keytab", "krb5.conf", "fstab", "crypttab",
	"apt/auth.conf", "apt/auth.conf.d", "boto.cfg", "msmtprc", "mailrc", "rclone.conf", "netplan", "ipsec.d", "letsencrypt", "pki/tls/private", "pki/entitlement",
	"vault.d", "consul.d", "nomad.d", "salt", "puppet", "puppetlabs", "chef", "ansible", "postfix/sasl_passwd", "exim4/passwd.client", "nix/netrc",
}

const longestEtcFile = 1 << 20

// copyEtc has what everybody may read of this machine's /etc, as files of the cage's own: steps write into it, and what others own no
// overlay lets them. Accounts are taken along, passwords are not.
func (r *root) copyEtc() error {
	err := filepath.WalkDir("/etc", func(path string, entry fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, "/etc/")
		if err != nil || slices.Contains(etcLeftOut, name) {
			return skipUnreadable(entry)
		}
		if path == "/etc" {
			return nil
		}
		return r.copyOne(path, entry)
	})
	return errors.Join(err, r.lockAccounts())
}

func (r *root) copyOne(path string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return nil // gone
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		if err != nil {
			return nil
		}
		return os.Symlink(target, r.dir+path)
	case info.IsDir():
		if info.Mode()&0o005 != 0o005 {
			return fs.SkipDir
		}
		return os.Mkdir(r.dir+path, info.Mode().Perm()|0o700)
	case !info.Mode().IsRegular() || info.Mode()&0o004 == 0 || info.Size() > longestEtcFile:
		return nil
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return os.WriteFile(r.dir+path, content, info.Mode().Perm()|0o600)
}

// lockAccounts gives every account and group a password that there is none for.
func (r *root) lockAccounts() error {
	var failures []error
	for from, to := range map[string]string{"passwd": "shadow", "group": "gshadow"} {
		text, err := os.ReadFile(r.dir + "/etc/" + from)
		if err != nil {
			continue
		}
		var locked strings.Builder
		for line := range strings.Lines(string(text)) {
			if name, _, found := strings.Cut(line, ":"); found && to == "shadow" {
				locked.WriteString(name + ":!:19000:0:99999:7:::\n")
			} else if found {
				locked.WriteString(name + ":!::\n")
			}
		}
		failures = append(failures, os.WriteFile(r.dir+"/etc/"+to, []byte(locked.String()), 0o640))
	}
	return errors.Join(failures...)
}
