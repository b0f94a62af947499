package sshd

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"bundleup/auth"
)

// Bounds of what is tried as a login, in bytes. x/crypto passes on strings of
// up to a packet's length.
const (
	maxUser     = 255
	maxPassword = 1024
)

// accountKey is under which a login's account is in Permissions.ExtraData.
type accountKey struct{}

var errCredentials = errors.New("user name or credential is too long")

// proof is what a connection has proven so far. The handshake's goroutine alone
// uses it.
type proof struct {
	methods []auth.Method
	account *auth.Account // as the last method gave it
}

// sshConfig is the listener's with this connection's callbacks. x/crypto calls
// PublicKeyCallback for keys that are only offered, so what a login does waits
// for VerifiedPublicKeyCallback.
func (c *connection) sshConfig() *ssh.ServerConfig {
	cfg := c.algorithms.serverConfig(c.server.cfg.Version, c.server.cfg.Limits.AuthTries)
	first := c.methods("")
	cfg.PublicKeyCallback = first.PublicKeyCallback
	cfg.PasswordCallback = first.PasswordCallback
	cfg.KeyboardInteractiveCallback = first.KeyboardInteractiveCallback
	cfg.VerifiedPublicKeyCallback = func(_ ssh.ConnMetadata, key ssh.PublicKey, p *ssh.Permissions, algorithm string) (*ssh.Permissions, error) {
		c.signature = algorithm
		c.meta.Credential = credential(key)
		return c.prove(accountOf(p), auth.PublicKey)
	}
	cfg.AuthLogCallback = c.tried
	return cfg
}

// methods are the callbacks for what is to be proven next; "" is anything.
func (c *connection) methods(next auth.Method) (m ssh.ServerAuthCallbacks) {
	if next != auth.Password {
		m.PublicKeyCallback = c.publicKey
	}
	if next != auth.PublicKey {
		m.PasswordCallback, m.KeyboardInteractiveCallback = c.password, c.keyboard
	}
	return m
}

func permissions(a *auth.Account) *ssh.Permissions {
	return &ssh.Permissions{ExtraData: map[any]any{accountKey{}: a}}
}

func accountOf(p *ssh.Permissions) *auth.Account {
	a, _ := p.ExtraData[accountKey{}].(*auth.Account)
	return a
}

// credential names a key or a certificate as OpenSSH's sshd does in its log.
func credential(key ssh.PublicKey) string {
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return ssh.FingerprintSHA256(key)
	}
	return fmt.Sprintf("certificate %q serial %d of CA %s", printable(cert.KeyId), cert.Serial, ssh.FingerprintSHA256(cert.SignatureKey))
}

func (c *connection) publicKey(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	if len(meta.User()) > maxUser {
		return nil, errCredentials
	}
	a, err := c.server.cfg.Auth.PublicKey(meta.User(), key)
	if err == nil {
		err = c.admits(a, auth.PublicKey)
	}
	if err != nil {
		return nil, err
	}
	return permissions(a), nil
}

func (c *connection) password(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	if len(meta.User()) > maxUser || len(password) > maxPassword {
		return nil, errCredentials
	}
	a, err := c.server.cfg.Auth.Password(c.ctx, meta.User(), password)
	if err == nil {
		err = c.admits(a, auth.Password)
	}
	if err != nil {
		return nil, err
	}
	if a.Token != (auth.TokenID{}) {
		c.meta.Credential = "token " + a.Token.String()
	}
	return c.prove(a, auth.Password)
}

// keyboard asks for the password: PuTTY, FileZilla, JSch, gvfs and dropbear
// prefer this method.
func (c *connection) keyboard(meta ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
	answers, err := ask("", "", []string{"Password: "}, []bool{false})
	if err != nil {
		return nil, err
	}
	if len(answers) != 1 {
		return nil, fmt.Errorf("keyboard-interactive: %d answers to one question", len(answers))
	}
	return c.password(meta, []byte(answers[0]))
}

// admits says why the account is not let in with the method now, or nil. It is
// asked about keys that are only offered, too: a client then goes on to the next.
func (c *connection) admits(a *auth.Account, method auth.Method) error {
	if a == nil {
		return errors.New("the authenticator gave no account")
	}
	remote, err := netip.ParseAddrPort(c.meta.Remote)
	if err != nil && len(a.From) > 0 {
		return fmt.Errorf("%w: the peer has no address", auth.ErrDenied)
	}
	if err := a.Admit(remote.Addr(), time.Now()); err != nil {
		return err
	}
	if next, more := a.Next(c.proof.methods); !more || next != "" && next != method {
		return fmt.Errorf("%w: %s is not what the account has to prove next", auth.ErrDenied, method)
	}
	return nil
}

// prove notes that a method succeeded: the login is complete, or the client is
// told to go on (RFC 4252, 5.1: partial success).
func (c *connection) prove(a *auth.Account, method auth.Method) (*ssh.Permissions, error) {
	so := proof{methods: append(slices.Clip(c.proof.methods), method), account: narrower(c.proof.account, a)}
	if next, more := so.account.Next(so.methods); more {
		c.proof = so
		return nil, &ssh.PartialSuccessError{Next: c.methods(next)}
	}
	p, err := c.seated(permissions(so.account))
	if err == nil {
		c.proof = so
	}
	return p, err
}

// narrower is the one of two views of an account that ends first: a certificate
// may have narrowed it at one step, which the other step does not know.
func narrower(before, a *auth.Account) *auth.Account {
	if before != nil && !before.Expires.IsZero() && (a.Expires.IsZero() || before.Expires.Before(a.Expires)) {
		return before
	}
	return a
}

// seated counts a proven login for its account, or tells why it cannot be.
func (c *connection) seated(p *ssh.Permissions) (*ssh.Permissions, error) {
	a := accountOf(p)
	if err := c.seat.login(a.Name, a.MaxSessions); err != nil {
		return nil, &ssh.BannerError{Err: err, Message: "Too many connections of this account are open: close some and try again.\r\n"}
	}
	return p, nil
}

// tried logs one try. "none" is how clients ask for the methods, and a partial
// success is no failure.
func (c *connection) tried(meta ssh.ConnMetadata, method string, err error) {
	c.noteTry(meta, method, err)
	if err == nil {
		c.method = method
		if len(c.proof.methods) > 1 {
			c.method = joinMethods(c.proof.methods)
		}
		return
	}
	if partial := (*ssh.PartialSuccessError)(nil); method == "none" || errors.As(err, &partial) {
		return
	}
	c.meta.Client = printable(string(meta.ClientVersion()))
	c.meta.User, c.meta.Tried = printable(meta.User()), printable(method)
	c.meta.Failed++
	c.log.Info("login failed", "user", c.meta.User, "method", c.meta.Tried, "client", c.meta.Client, "err", printable(err.Error()))
	c.server.cfg.Events.authFailed(c.meta, method)
}

func joinMethods(list []auth.Method) string {
	names := make([]string, len(list))
	for i, m := range list {
		names[i] = string(m)
	}
	return strings.Join(names, ",")
}
