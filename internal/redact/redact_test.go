package redact_test

import (
	"strings"
	"testing"

	"windlass/internal/redact"
)

func TestSecretsGo(t *testing.T) {
	const secret = "s3cr3tvalue"
	for _, s := range []string{
		"https://user:s3cr3tvalue@git.example/repo.git",
		"https://s3cr3tvalue@git.example/repo.git",
		"fetch ssh://git:s3cr3tvalue@host:22/x: refused",
		"https://u:p@s3cr3tvalue@host/",
		"Authorization: Bearer s3cr3tvalue",
		"authorization: s3cr3tvalue and more",
		"-H 'Authorization: token s3cr3tvalue'",
		"got bearer s3cr3tvalue.abc",
		"password=s3cr3tvalue",
		`{"password": "s3cr3tvalue"}`,
		"DB_PASSWORD='s3cr3tvalue with space'",
		"MYSQL_PWD=x PASSWD: s3cr3tvalue",
		"AWS_SECRET_ACCESS_KEY=s3cr3tvalue",
		"X-Api-Key: s3cr3tvalue",
		"curl --token s3cr3tvalue --verbose",
		"-----BEGIN OPENSSH PRIVATE KEY-----\ns3cr3tvalue\n-----END OPENSSH PRIVATE KEY-----",
		"-----BEGIN RSA PRIVATE KEY-----\ns3cr3tvalue (torn off",
		"s3cr3tvalue+x=\nAAAA\n-----END RSA PRIVATE KEY-----\n",
		"?access_token=s3cr3tvalue&x=1",
		"\x1b[36mpassword\x1b[0m=\x1b[1ms3cr3t\x1b[0mvalue",
		"DB_PASS=s3cr3tvalue",
		"db_pwd: s3cr3tvalue",
		"SIGNING_KEY=s3cr3tvalue",
		"Cookie: theme=dark; sid=s3cr3tvalue",
		"Set-Cookie: sid=s3cr3tvalue; Path=/",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.s3cr3tvalue",
		"npm_0123456789abcdefs3cr3tvalue",
		"password=ab,s3cr3tvalue",
		"PASSWORD=ab&s3cr3tvalue",
		"PASSWORD=ab;s3cr3tvalue",
		`{"password":"ab\"s3cr3tvalue"}`,
		`{\"password\":\"s3cr3tvalue\"}`,
		`PASSWORD='ab'\''s3cr3tvalue'`,
		"password: \"ab\ns3cr3tvalue\"",
		`token = "ab s3cr3tvalue`,
		`password => "s3cr3tvalue"`,
		"password := s3cr3tvalue",
		"curl -fsS -u admin:s3cr3tvalue http://x",
		"curl --user 'admin:s3cr3tvalue' http://x",
	} {
		got := redact.Text(s)
		if strings.Contains(got, secret) || !strings.Contains(got, redact.Mark) {
			t.Errorf("%q became %q", s, got)
		}
	}
	for _, s := range []string{"AKIAIOSFODNN7EXAMPLE", "ghp_0123456789abcdefghij0123456789abcdef"} {
		if got := redact.Text("key " + s + "."); got != "key "+redact.Mark+"." {
			t.Errorf("%q became %q", s, got)
		}
	}
}

func TestTheRestStays(t *testing.T) {
	for _, s := range []string{
		"", "GET http://10.0.1.14:8080/version: 503, want 200",
		"mail ops@example.org about web-1",
		"git@github.com:org/repo.git",
		"E: Unable to locate package web\nexit 100",
		"i-0abc serves v1.4.2+build.7",
		"pass 3 of 5; pass: 12, compass=north, bypass=1, PWD=/srv/web",
		"docker run -u 1000:1000 web, cookies are on",
	} {
		if got := redact.Text(s); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}

func TestLineIsOneLine(t *testing.T) {
	if got, want := redact.Line("a\r\n\x1b[2Jb\x00c\u009bd password=x\n"), "a b c d password="+redact.Mark; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
