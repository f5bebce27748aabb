package access_test

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"windlass/internal/nettest"
	"windlass/internal/web/access"
)

// folder is a directory with the certificates of an agent and of a stranger, and the file.
func folder(t *testing.T, text string) (file string) {
	t.Helper()
	dir, ca := t.TempDir(), nettest.NewAuthority(t)
	cert, key := ca.Issue(t, "agent.example")
	_, other := ca.Issue(t, "stranger.example")
	for name, content := range map[string]string{
		"agent.crt": string(cert), "agent.key": string(key), "other.key": string(other), "ca.crt": string(ca.PEM), "web.yaml": text, "empty.crt": "",
	} {
		write(t, filepath.Join(dir, name), content)
	}
	return filepath.Join(dir, "web.yaml")
}

const (
	secured  = "tls_server_config:\n  cert_file: agent.crt\n  key_file: agent.key\n"
	required = secured + "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n"
)

// good is a hash of cost 10, which is never compared with here.
const good = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"

const carol = "basic_auth_users: {carol: " + good + "}\n"

func TestWhatIsEnoughForAnAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text      string
		loopback, other string // what is said of it, empty: it is enough
		asks            bool   // everybody who they are
	}{
		{"nothing", "", "", "nobody has to say who they are", false},
		{"an empty document", "---\n", "", "nobody has to say who they are", false},
		{"headers", "http_server_config: {headers: {X-Frame-Options: deny, Strict-Transport-Security: max-age=60}}\n", "", "nobody has to say who they are", false},
		{"no users", "basic_auth_users: {}\n", "", "nobody has to say who they are", false},
		{"TLS", secured, "", "nobody has to say who they are", false},
		{"a certificate of anybody's", secured + "  client_auth_type: RequireAnyClientCert\n", "", "nobody has to say who they are", false},
		{"a certificate if there is one", strings.Replace(required, "RequireAndVerifyClientCert", "VerifyClientCertIfGiven", 1), "", "nobody has to say who they are", false},
		{"users", carol, "", "passwords would be sent in plain", true},
		{"users and TLS", carol + secured, "", "", true},
		{"client certificates", required, "", "", true},
		{"users and client certificates", carol + required, "", "", true},
	} {
		for _, public := range []bool{false, true} {
			want := map[bool]string{false: c.loopback, true: c.other}[public]
			gate, err := access.Open(access.Options{File: folder(t, c.text), Public: public, Log: slog.New(slog.DiscardHandler)})
			switch {
			case err == nil && want == "":
				if gate.Required() != c.asks {
					t.Errorf("%s: everybody is asked: %v", c.name, gate.Required())
				}
			case err == nil || want == "" || !strings.Contains(err.Error(), want):
				t.Errorf("%s, public %v: %v, want %q", c.name, public, err, want)
			}
		}
	}
}

func TestWhatIsWrongInTheFileIsTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"basic_auth_user: {}\n", `web.yaml:1:1: unknown key "basic_auth_user"; did you mean basic_auth_users?`},
		{secured + "  min_versoin: TLS13\n", `web.yaml:4:3: unknown key "min_versoin"; did you mean min_version?`},
		{"http_server_config:\n  http3: true\n", `web.yaml:2:3: unknown key "http3"; did you mean http2?`},
		{"rate_limit: {burst: 3}\n", "web.yaml:1:1: rate_limit is not taken: it counts everybody's requests together"},
		{secured + "  prefer_server_cipher_suites: true\n", "web.yaml:4:3: prefer_server_cipher_suites is not taken"},
		{"http_server_config: &a {http2: true}\ntls_server_config: *a\n", `web.yaml:1:25: unknown key "http2"`},
		{"- carol\n", "web.yaml:1:1: write keys"},
		{"basic_auth_users: [carol]\n", "web.yaml:1:1: cannot be understood: cannot unmarshal !!seq"},
		{"basic_auth_users:\n\tcarol: x\n", "web.yaml:2:1: cannot be understood: found character that cannot start any token"},
		{carol + carol, `web.yaml:2:1: cannot be understood: mapping key "basic_auth_users" already defined at line 1`},
		{carol + "---\n" + carol, "there is a second document"},
		{"basic_auth_users: {carol: secret}\n", `what is given for "carol" is no bcrypt hash: make one with htpasswd -nBC 10 "carol"`},
		{secured + "basic_auth_users: {carol: secret}\n", `what is given for "carol" is no bcrypt hash`},
		{"basic_auth_users: {carol: ''}\n", `what is given for "carol" is no bcrypt hash`},
		{"basic_auth_users: {carol: " + good[:40] + "}\n", `what is given for "carol" is no bcrypt hash`},
		{"basic_auth_users: {carol: " + strings.Replace(good, "b", "!", 1) + "}\n", `what is given for "carol" is no bcrypt hash`},
		{"basic_auth_users: {carol: " + strings.Replace(good, "10", "16", 1) + "}\n", `the hash of "carol" has cost 16, which takes too long`},
		{"basic_auth_users: {'': " + good + "}\n", `"" can be no user`},
		{"basic_auth_users: {'a:b': " + good + "}\n", `"a:b" can be no user`},
		{carol + "readers: [caroll]\n", `readers: "caroll" is none of basic_auth_users; did you mean carol?`},
		{"readers: [carol]\n", `readers: "carol" is none of basic_auth_users`},
		{"http_server_config: {headers: {Server: x}}\n", `header "Server" cannot be set`},
		{"http_server_config: {headers: {X-Frame-Options: allow}}\n", `header X-Frame-Options is deny or sameorigin, not "allow"`},
		{"tls_server_config: {cert_file: agent.crt}\n", "needs a certificate and its key"},
		{"tls_server_config: {cert_file: agent.crt, key_file: none.key}\n", "cannot read key_file: open "},
		{"tls_server_config: {cert_file: agent.crt, key_file: other.key}\n", "certificate and key cannot be used together"},
		{secured + "  cert: x\n", "has cert and cert_file"},
		{secured + "  min_version: TLS9\n", "unknown TLS version: TLS9"},
		{secured + "  client_auth_type: Maybe\n", "invalid ClientAuth: Maybe"},
		{secured + "  client_ca_file: ca.crt\n", "without a Client Auth Policy"},
		{secured + "  client_auth_type: RequireAndVerifyClientCert\n", "needs to know who signs client certificates"},
		{secured + "  client_auth_type: VerifyClientCertIfGiven\n", "needs to know who signs client certificates"},
		{strings.Replace(required, "ca.crt", "empty.crt", 1), "needs to know who signs client certificates"},
		{secured + "  client_auth_type: RequestClientCert\n  client_allowed_sans: [carol]\n", "client_allowed_sans says nothing without"},
	} {
		file := folder(t, c.text)
		_, err := access.Open(access.Options{File: file, Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "cannot use --web-config "+file+": ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s\nis told as %v\nwant      %s", c.text, err, c.want)
		}
	}
	if _, err := access.Open(access.Options{File: filepath.Join(t.TempDir(), "none.yaml")}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a file that is not there: %v", err)
	}
}
