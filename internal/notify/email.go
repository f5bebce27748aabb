package notify

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"windlass/internal/outbound"
	"windlass/internal/redact"
)

// mailTimeout bounds greeting and sending, each: servers think for long before they take a mail (RFC 5321, section 4.5.3.2, wants minutes).
const mailTimeout = 60 * time.Second

// An email is one who gets mail. A server that refuses one of several recipients sends to none of them, so each has a mail of their own.
type email struct {
	at    EmailPlace
	to    string
	roots *x509.CertPool // who signs servers' certificates; nil: the system knows
}

func (e *email) Traits() Traits {
	return Traits{Service: "email", Threads: true, Known: true, Every: time.Second}
}

// Say sends a mail. It is told when the server has taken it, whatever became of the connection after that; one that comes twice has the same
// Message-ID.
func (e *email) Say(ctx context.Context, m Message) (string, error) {
	mid := e.messageID(m.ID)
	message, err := e.compose(m, mid)
	if err != nil {
		return "", unread(err)
	}
	client, password, err := e.client()
	if err != nil {
		return "", unread(err)
	}
	sent := make(chan error, 1)
	go func() { sent <- client.DialAndSendWithContext(ctx, message) }() // of ctx's end it hears while it connects, later only of its own timeouts
	select {
	case err = <-sent:
	case <-ctx.Done():
		return "", e.failure(ctx.Err(), password)
	}
	if err == nil || message.IsDelivered() {
		return mid, nil
	}
	return "", e.failure(err, password)
}

// messageID is fixed, so that repeats are known for what they are.
func (e *email) messageID(of string) string {
	sum := sha256.Sum256([]byte(of))
	return hex.EncodeToString(sum[:16]) + "@" + domain(e.at.From)
}

func domain(address string) string {
	if a, err := mail.ParseAddress(address); err == nil {
		address = a.Address
	}
	return address[strings.LastIndexByte(address, '@')+1:]
}

func (e *email) compose(m Message, mid string) (*gomail.Msg, error) {
	message := gomail.NewMsg()
	if err := message.From(e.at.From); err != nil {
		return nil, fmt.Errorf("from is no mail address: %w", err)
	}
	if err := message.To(e.to); err != nil {
		return nil, fmt.Errorf("to is no mail address: %w", err)
	}
	message.SetMessageIDWithValue(mid)
	if m.Place != "" {
		message.SetGenHeader(gomail.HeaderInReplyTo, "<"+m.Place+">")
		message.SetGenHeader(gomail.HeaderReferences, "<"+m.Place+">")
	}
	message.Subject(subject(m.Title))
	message.SetDateWithValue(m.At)
	message.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: nobody's absence is to be answered to it
	message.SetBodyString(gomail.TypeTextPlain, m.text()+"\n")
	return message, nil
}

func subject(title string) string {
	const most = 200
	if r := []rune(title); len(r) > most {
		title = string(r[:most-1]) + "…"
	}
	return "[windlass] " + title
}

func (e *email) client() (c *gomail.Client, password string, err error) {
	host, digits, err := net.SplitHostPort(e.at.SMTP)
	if err != nil {
		return nil, "", err
	}
	port, err := strconv.Atoi(digits)
	if err != nil {
		return nil, "", err
	}
	options := []gomail.Option{
		gomail.WithPort(port), gomail.WithTimeout(mailTimeout), gomail.WithTLSPolicy(gomail.TLSMandatory),
		gomail.WithTLSConfig(&tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, RootCAs: e.roots}),
	}
	switch e.at.TLS {
	case "implicit":
		options = append(options, gomail.WithSSL())
	case "none":
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	}
	if e.at.User != "" {
		if password, err = outbound.Secret(e.at.PasswordFile); err != nil {
			return nil, "", err
		}
		options = append(options, gomail.WithSMTPAuth(gomail.SMTPAuthAutoDiscover), gomail.WithUsername(e.at.User), gomail.WithPassword(password))
	}
	c, err = gomail.NewClient(host, options...)
	return c, password, err
}

// failure is a mail that no server has taken. Only a server's own 5xx is a refusal: what else goes wrong may go well the next time.
func (e *email) failure(err error, password string) *Failure {
	says := fmt.Sprintf("%s did not take the mail to %s: %v", e.at.SMTP, e.to, err)
	if password != "" {
		says = strings.ReplaceAll(says, password, redact.Mark)
	}
	if e.at.TLS == "none" && errors.Is(err, gomail.ErrNoSupportedAuthDiscovered) {
		says += "; it wants a password, which is sent over TLS only: correct tls"
	}
	f := &Failure{Says: cut(redact.Line(says))}
	var sending *gomail.SendError
	var answer *textproto.Error
	switch {
	case errors.As(err, &sending):
		f.Refused = sending.ErrorCode() >= 500
	case errors.As(err, &answer): // before there was a mail to send: a greeting, a login
		f.Refused = answer.Code >= 500
	}
	return f
}
