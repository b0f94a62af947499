package httpd

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"bundleup/auth"
)

const (
	// sessionTime is how long a login on the page lasts.
	sessionTime = 12 * time.Hour
	// The __Host- prefix binds the cookie to this host and to HTTPS (RFC
	// 6265bis, 4.1.3.2); over plain HTTP browsers would not take it.
	secureCookie = "__Host-bundleup"
	plainCookie  = "bundleup"
)

// session is what a browser carries for somebody who has logged in on the page.
// It is sealed, so that no node needs to know of it; and it ends when the account's
// secret changes, because it holds a mark of it.
type session struct {
	User    string `json:"u"`
	Expires int64  `json:"e"` // Unix seconds
	// Mark is of the hash of the account's password.
	Mark []byte `json:"m,omitempty"`
	// Token is an upload token's secret: there is no account to look up.
	Token string `json:"t,omitempty"`
}

// sealer seals sessions with AES-256-GCM. The key is never used for anything else.
type sealer struct{ aead cipher.AEAD }

// SessionKeySize is the length of Config.SessionKey.
const SessionKeySize = 32

func newSealer(key []byte) (*sealer, error) {
	if len(key) != SessionKeySize {
		return nil, fmt.Errorf("session key: it has %d bytes, want %d", len(key), SessionKeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &sealer{aead}, err
}

// sealContext keeps a seal of something else from being a session.
var sealContext = []byte("bundleup session v1")

func (s *sealer) seal(v session) (string, error) {
	doc, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, doc, sealContext)), nil
}

// errSession says that a cookie is no session of ours, or one that has ended.
var errSession = errors.New("no session")

func (s *sealer) open(text string, now time.Time) (v session, err error) {
	sealed, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return v, errSession
	}
	doc, err := s.aead.Open(nil, nil, sealed, sealContext)
	if err != nil || json.Unmarshal(doc, &v) != nil || now.Unix() >= v.Expires {
		return session{}, errSession
	}
	return v, nil
}

// newKey is for a server that is given none: its sessions end with it.
func newKey() []byte {
	key := make([]byte, SessionKeySize)
	rand.Read(key) // never fails, by its documentation
	return key
}

// markOf tells one secret of an account from the next without holding it.
func markOf(a *auth.Account) []byte {
	sum := sha256.Sum256([]byte("bundleup session mark\x00" + a.Name + "\x00" + a.Password))
	return sum[:]
}

// begin gives the browser a session of an account that logged in as user.
func (s *Server) begin(w http.ResponseWriter, user, secret string, a *auth.Account) error {
	v := session{User: user, Expires: s.cfg.Now().Add(sessionTime).Unix()}
	if a.Token != (auth.TokenID{}) {
		v.Token = secret
	} else {
		v.Mark = markOf(a)
	}
	text, err := s.sealer.seal(v)
	if err != nil {
		return err
	}
	http.SetCookie(w, s.cookie(text, int(sessionTime/time.Second)))
	return nil
}

func (s *Server) cookie(value string, maxAge int) *http.Cookie {
	name := plainCookie
	if s.secure() {
		name = secureCookie
	}
	return &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: maxAge, HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteStrictMode}
}

// secure reports whether browsers reach the server by HTTPS.
func (s *Server) secure() bool { return s.cfg.TLS != nil || s.cfg.BehindTLS }

// resumed finds the account of a request's session.
func (s *Server) resumed(r *http.Request) (*auth.Account, error) {
	c, err := r.Cookie(s.cookie("", 0).Name)
	if err != nil {
		return nil, errSession
	}
	v, err := s.sealer.open(c.Value, s.cfg.Now())
	if err != nil {
		return nil, err
	}
	a, err := s.accountOf(r.Context(), v)
	if err == nil {
		err = s.admit(r, a)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// accountOf is the account as it is now: what was changed since the login counts.
func (s *Server) accountOf(ctx context.Context, v session) (*auth.Account, error) {
	if v.Token != "" {
		return s.cfg.Auth.Password(ctx, v.User, []byte(v.Token))
	}
	a := s.cfg.Auth.Account(v.User)
	if a == nil || string(markOf(a)) != string(v.Mark) {
		return nil, errSession
	}
	return a, nil
}
