package sshd

import (
	"errors"
	"fmt"

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

// serverConfig holds the algorithms: nothing with SHA-1, CBC or finite fields
// under 2048 bits. The order of ciphers is the client's; leaving one out is all
// that a server can do, and old clients need chacha20 or ctr.
func serverConfig(cfg *Config) (*ssh.ServerConfig, error) {
	c := &ssh.ServerConfig{
		Config: ssh.Config{
			KeyExchanges: []string{
				ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519, ssh.KeyExchangeECDHP256,
				ssh.KeyExchangeECDHP384, ssh.KeyExchangeECDHP521, ssh.KeyExchangeDH16SHA512, ssh.KeyExchangeDH14SHA256,
			},
			Ciphers: []string{
				ssh.CipherAES128GCM, ssh.CipherAES256GCM, ssh.CipherAES128CTR, ssh.CipherAES192CTR,
				ssh.CipherAES256CTR, ssh.CipherChaCha20Poly1305,
			},
			MACs: []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM, ssh.HMACSHA256, ssh.HMACSHA512},
		},
		PublicKeyAuthAlgorithms: []string{
			ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521,
			ssh.KeyAlgoSKECDSA256, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512,
		},
		ServerVersion: cfg.Version,
		MaxAuthTries:  cfg.Limits.AuthTries,
	}
	for _, key := range cfg.HostKeys {
		key, err := withoutSHA1(key)
		if err != nil {
			return nil, err
		}
		c.AddHostKey(key)
	}
	return c, nil
}

// sshConfig is the server's with this connection's callbacks. x/crypto calls
// PublicKeyCallback for keys that are only offered, so what a login does waits
// for VerifiedPublicKeyCallback.
func (c *connection) sshConfig() *ssh.ServerConfig {
	cfg := *c.server.ssh
	cfg.PublicKeyCallback = func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		if len(meta.User()) > maxUser {
			return nil, errCredentials
		}
		a, err := c.server.cfg.Auth.PublicKey(meta.User(), key)
		return permissions(a), err
	}
	cfg.VerifiedPublicKeyCallback = func(_ ssh.ConnMetadata, _ ssh.PublicKey, p *ssh.Permissions, _ string) (*ssh.Permissions, error) {
		return c.seated(p)
	}
	cfg.PasswordCallback = c.password
	cfg.KeyboardInteractiveCallback = c.keyboard
	cfg.AuthLogCallback = c.tried
	return &cfg
}

func permissions(a *auth.Account) *ssh.Permissions {
	return &ssh.Permissions{ExtraData: map[any]any{accountKey{}: a}}
}

func (c *connection) password(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	if len(meta.User()) > maxUser || len(password) > maxPassword {
		return nil, errCredentials
	}
	a, err := c.server.cfg.Auth.Password(c.ctx, meta.User(), password)
	if err != nil {
		return nil, err
	}
	return c.seated(permissions(a))
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

// seated counts a proven login for its account, or tells why it cannot be.
func (c *connection) seated(p *ssh.Permissions) (*ssh.Permissions, error) {
	a, _ := p.ExtraData[accountKey{}].(*auth.Account)
	if a == nil {
		return nil, errors.New("the authenticator gave no account")
	}
	if err := c.seat.login(a.Name); err != nil {
		return nil, &ssh.BannerError{Err: err, Message: "Too many connections of this account are open: close some and try again.\r\n"}
	}
	return p, nil
}

// tried logs one try. "none" is how clients ask for the methods.
func (c *connection) tried(meta ssh.ConnMetadata, method string, err error) {
	if err == nil {
		c.method = method
		return
	}
	if method == "none" {
		return
	}
	c.meta.Client = printable(string(meta.ClientVersion()))
	c.log.Info("login failed", "user", printable(meta.User()), "method", printable(method), "client", c.meta.Client, "err", printable(err.Error()))
	c.server.cfg.Events.authFailed(c.meta, method)
}
