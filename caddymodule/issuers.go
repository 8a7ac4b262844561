// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// issuers are those of a configuration, and who wants their tokens.
type issuers struct {
	byName map[string]*TokenIssuer
	wanted []wantedIssuer
}

type wantedIssuer struct{ endpoint, name string }

// directoryEngine is an [Engine] with a directory of its own on a local disk, in
// which the key of the tokens can be kept beside the messages. The directory is
// there once Open was called, and only one process uses it.
type directoryEngine interface{ Dir() string }

// newKeyFile returns the key file in the directory of an engine, nil if it has
// none.
func newKeyFile(engine Engine) *keyFile {
	if e, ok := engine.(directoryEngine); ok {
		return &keyFile{path: filepath.Join(e.Dir(), keyFileName)}
	}
	return nil
}

// registerIssuer adds an issuer. The same one is provisioned once for every server
// that it is in.
func (a *App) registerIssuer(i *TokenIssuer) error {
	if i.master == nil && a.keys == nil {
		return errors.New("key is missing: this queue has no directory to keep one in, so make one with `openssl rand -base64 32`")
	}
	other, ok := a.issuers.byName[i.Name]
	if !ok {
		if a.issuers.byName == nil {
			a.issuers.byName = make(map[string]*TokenIssuer)
		}
		a.issuers.byName[i.Name] = i
		return nil
	}
	if fields := i.fingerprint.differences(other.fingerprint); len(fields) > 0 {
		return fmt.Errorf("it is configured in %s and in %s, and differently in %s: one name is one issuer",
			nameOfServer(other.server), nameOfServer(i.server), strings.Join(fields, ", "))
	}
	i.failures, i.refusals, i.verifier = other.failures, other.refusals, other.verifier
	return nil
}

// wantIssuer notes that an endpoint takes the tokens of an issuer, which may be
// provisioned later.
func (a *App) wantIssuer(endpoint, name string) {
	a.issuers.wanted = append(a.issuers.wanted, wantedIssuer{endpoint, name})
}

// checkIssuers refuses a configuration that wants tokens which nobody issues.
func (a *App) checkIssuers() error {
	names := make([]string, 0, len(a.issuers.byName))
	for name := range a.issuers.byName {
		names = append(names, name)
	}
	for _, want := range a.issuers.wanted {
		if a.issuers.byName[want.name] != nil {
			continue
		}
		meant := ""
		if nearest := senders.Nearest(want.name, names); len(nearest) > 0 {
			meant = "did you mean " + strings.Join(nearest, ", ") + "? "
		}
		return fmt.Errorf("endpoint %s: verify bearer: issued_by %s: there is no issuer of that name; %sadd `webhook_inbox_token <matcher> %s { … }` to a site",
			want.endpoint, want.name, meant, want.name)
	}
	return nil
}

// startKeys makes the key of the tokens, if an issuer has none of its own. Only a
// damaged key is an error: anything else may pass.
func (a *App) startKeys() error {
	for _, i := range a.issuers.byName {
		if i.master != nil {
			continue
		}
		err := a.keys.start()
		if errors.Is(err, errKeyDamaged) {
			return err
		}
		if err != nil {
			a.log.Error("logins are answered 503 until the key of the tokens can be made", zap.Error(err))
			return nil
		}
		switch exposed, err := a.keys.protect(); {
		case err != nil:
			a.log.Warn("the key of the tokens cannot be made readable by its owner only", zap.String("file", a.keys.path), zap.Error(err))
		case exposed:
			a.log.Warn("others could read the key of the tokens until now: if somebody did, remove the file and start Caddy anew",
				zap.String("file", a.keys.path))
		}
		return nil
	}
	return nil
}

// awaitStart reports whether the app has started, and waits for it: servers may
// accept requests before.
func (a *App) awaitStart(ctx context.Context) bool {
	select {
	case <-a.ready:
		return true
	case <-a.done:
		return false
	case <-ctx.Done():
		return false
	}
}

// countToken counts a request for a token, unless that came before the app started.
func (a *App) countToken(issuer, outcome string) {
	select {
	case <-a.ready:
		a.inbox.metrics.tokensTotal.WithLabelValues(issuer, outcome).Inc()
	default:
	}
}
