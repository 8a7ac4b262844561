// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func init() {
	caddy.RegisterModule(TokenIssuer{})
}

// TokenIssuer gives tokens to senders that log in before they send, at any URL:
// with the name and password of a user, or as an OAuth 2.0 client. An endpoint
// with the scheme `bearer` and this name in `issued_by` takes them. The
// application is not asked, so that senders can log in while it is down.
//
//	{
//		"handler": "webhook_inbox_token",
//		"name": "idexa",
//		"users": [{"name": "idexa", "password": "{env.IDEXA_PASSWORD}"}]
//	}
//
// A login is a POST of a form or of a JSON object, with `username` and `password`
// or `client_id` and `client_secret`, which may be in `Authorization: Basic`
// instead, and with the `grant_type` `client_credentials`, `password` or none. It is
// answered 200 with a JSON object:
//
//	{"access_token": "…", "token_type": "Bearer", "expires_in": 3600}
//
// A name whose login fails ten times from one address has to wait then, and is
// answered 429; so has an address, whatever the names, after a hundred times. After
// a thousand failures of all addresses together, only those that logged in during
// the last day may log in until there are fewer: ten more each second.
//
// So behind a proxy, Caddy must know it as one of its `trusted_proxies`, or all
// senders are one address. The server must set `trusted_proxies_strict` then: by
// default Caddy takes the leftmost address of X-Forwarded-For, which is whatever the
// client wrote, if the proxy appends to it. With that, guesses are never stopped,
// and others can be locked out. There is a warning when the configuration is loaded.
//
// Tokens are not stored. They remain valid when Caddy is reloaded or restarted,
// until they expire, also if the password is changed: to revoke them, change the
// key.
type TokenIssuer struct {
	// The name: 1 to 64 of the characters a-z, 0-9, "_" and "-". A token of one name
	// is not valid for another. A name that is used in several places is one issuer,
	// and must be configured the same everywhere. Required.
	Name string `json:"name,omitempty"`

	// The users who may log in. A name may be there with several passwords.
	Users []TokenUser `json:"users,omitempty"`

	// The OAuth 2.0 clients that may log in. At least one user or client is required.
	Clients []TokenClient `json:"clients,omitempty"`

	// The name that the token has in the answer, none of those that mean something
	// else there (RFC 6749, section 5). Default: `access_token`.
	Attribute string `json:"attribute,omitempty"`

	// How long a token is valid. Default: 1h.
	Lifetime caddy.Duration `json:"lifetime,omitempty"`

	// The key that the tokens are signed with, of 32 bytes or more, such as
	// `openssl rand -base64 32` makes one. Use a placeholder, such as
	// `{env.TOKEN_KEY}`. Servers that must take each other's tokens need the same.
	// Default: a key that is made when it is first needed, and kept in the file
	// `token.key` in the directory of the queue. If the file is removed, that has an
	// effect when Caddy is started or loads a configuration the next time: a new key
	// is made then, and no older token is accepted.
	Key string `json:"key,omitempty"`

	users       register
	clients     register
	master      []byte // nil if it is in the file
	verifier    *atomic.Pointer[verify.JWT]
	fingerprint fingerprint
	server      *caddyhttp.Server
	failures    *failureLimit
	refusals    *rate.Sometimes // that are logged
	warned      *sync.Once
	app         *App
	log         *zap.Logger
}

// TokenUser is a name and a password.
type TokenUser struct {
	Name     string `json:"name,omitempty"`
	Password string `json:"password,omitempty"`
}

// TokenClient is the id and the secret of an OAuth 2.0 client.
type TokenClient struct {
	ID     string `json:"id,omitempty"`
	Secret string `json:"secret,omitempty"`
}

const (
	// tokenAudience is who the tokens are for.
	tokenAudience = appName

	// tokenLeeway is how far the clocks of servers that share a key may differ.
	tokenLeeway = 10 * time.Second

	minTokenKey = 32 // bytes
)

// otherAttributes are the names in an answer that are not the token's.
var otherAttributes = []string{"token_type", "expires_in", "error", "error_description"}

// CaddyModule returns the Caddy module information.
func (TokenIssuer) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.webhook_inbox_token",
		New: func() caddy.Module { return new(TokenIssuer) },
	}
}

// Provision sets up the issuer. It makes no key.
func (i *TokenIssuer) Provision(ctx caddy.Context) error {
	if !endpointName.MatchString(i.Name) {
		return fmt.Errorf("token issuer name %q: it must be 1 to 64 of the characters a-z, 0-9, _ and -", i.Name)
	}
	if err := i.provision(ctx); err != nil {
		return fmt.Errorf("token issuer %s: %w", i.Name, err)
	}
	return nil
}

func (i *TokenIssuer) provision(ctx caddy.Context) (err error) {
	i.log = ctx.Logger()
	i.refusals = &rate.Sometimes{First: 10, Interval: time.Second}
	i.warned = new(sync.Once)
	i.failures = newFailureLimit()
	i.verifier = new(atomic.Pointer[verify.JWT])
	i.server, _ = ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if i.fingerprint, err = newFingerprint(i); err != nil {
		return err
	}
	orDefault(&i.Attribute, "access_token")
	orDefault(&i.Lifetime, caddy.Duration(time.Hour))
	switch {
	case slices.Contains(otherAttributes, i.Attribute):
		return fmt.Errorf("attribute %s: it has another meaning in the answer, so leave it out or take another name, such as access_token", i.Attribute)
	case i.Lifetime < caddy.Duration(time.Second):
		return fmt.Errorf("lifetime is %v: it must be 1s or more", time.Duration(i.Lifetime))
	case len(i.Users)+len(i.Clients) == 0:
		return errors.New("nobody may log in: add a user or a client")
	}
	for n, u := range i.Users {
		if err := i.users.add(u.Name, u.Password); err != nil {
			return fmt.Errorf("user %d: %w", n+1, err)
		}
	}
	for n, c := range i.Clients {
		if err := i.clients.add(c.ID, c.Secret); err != nil {
			return fmt.Errorf("client %d: %w", n+1, err)
		}
	}
	if i.Key != "" {
		key, err := resolve(i.Key)
		if err != nil {
			return fmt.Errorf("key: %w", err)
		}
		if len(key) < minTokenKey {
			return fmt.Errorf("key: it is shorter than %d bytes: make one with `openssl rand -base64 32`", minTokenKey)
		}
		i.master = []byte(key)
	}
	app, err := ctx.App(appName)
	if err != nil {
		return err
	}
	i.app = app.(*App)
	return i.app.registerIssuer(i)
}

// warn tells the operator, once, that clients can choose the address by which
// their failures are counted.
func (i *TokenIssuer) warn(r *http.Request) {
	trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool)
	if !trusted || i.server == nil || i.server.TrustedProxiesStrict != 0 {
		return
	}
	i.warned.Do(func() {
		i.log.Warn("the limit of failed logins goes by the client's address, and this server takes that from a header field where clients can write it, unless each proxy replaces the field: set trusted_proxies_strict",
			zap.String("issuer", i.Name), zap.String("server", nameOfServer(i.server)), zap.Strings("client_ip_headers", i.server.ClientIPHeaders))
	})
}

// add resolves the placeholders of a name and a secret.
func (s *register) add(name, secret string) error {
	if name == "" {
		return errors.New("the name is empty")
	}
	c := credentials{}
	var err error
	if c.name, err = resolve(name); err == nil {
		c.secret, err = resolve(secret)
	}
	if err != nil {
		return err
	}
	*s = append(*s, c.hash())
	return nil
}

// issue returns a token that is valid from now on.
func (i *TokenIssuer) issue(now time.Time) (string, error) {
	config, err := i.config()
	if err != nil {
		return "", err
	}
	config.Header = tokenHeader
	config.MaxAge = time.Duration(i.Lifetime)
	r := verify.Request{Header: make(map[string][]string)}
	if err := config.Sign(&r, "", now); err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	return r.Header.Get(tokenHeader), nil
}

const tokenHeader = "Token"

// verifierOfTokens returns the verifier of the issuer's tokens. Its error wraps
// errKeyNotReady.
func (i *TokenIssuer) verifierOfTokens() (*verify.JWT, error) {
	if v := i.verifier.Load(); v != nil {
		return v, nil
	}
	config, err := i.config()
	if err != nil {
		return nil, err
	}
	v, err := verify.NewJWT(config)
	if err != nil {
		return nil, err
	}
	i.verifier.Store(v)
	return v, nil
}

// config says what the issuer's tokens are like.
func (i *TokenIssuer) config() (verify.JWTConfig, error) {
	master := i.master
	if master == nil {
		var err error
		if master, err = i.app.keys.get(); err != nil {
			return verify.JWTConfig{}, err
		}
	}
	key, err := deriveKey(master, i.Name)
	if err != nil {
		return verify.JWTConfig{}, fmt.Errorf("deriving the key of %s: %w", i.Name, err)
	}
	return verify.JWTConfig{
		Algorithm:     "HS256",
		Keys:          []verify.Secret{{Text: hex.EncodeToString(key), Encoding: "hex"}},
		Issuer:        i.Name,
		Audience:      tokenAudience,
		Tolerance:     tokenLeeway,
		RequireExpiry: true,
	}, nil
}

var (
	_ caddy.Provisioner           = (*TokenIssuer)(nil)
	_ caddyhttp.MiddlewareHandler = (*TokenIssuer)(nil)
)
