// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// What becomes of a request for a token: the label of the metric and the reason
// in the log.
const (
	tokenIssued      = "issued"
	tokenWrong       = "wrong_credentials"
	tokenLimited     = "rate_limited"
	tokenBadRequest  = "bad_request"
	tokenUnavailable = "unavailable"
)

// ServeHTTP answers a login with a token, or says why not (RFC 6749, section 5).
func (i *TokenIssuer) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	i.warn(r)
	outcome := i.serve(w, r)
	i.app.countToken(i.Name, outcome)
	if outcome == tokenIssued {
		return nil
	}
	i.refusals.Do(func() {
		i.log.Warn("no token issued",
			zap.String("issuer", i.Name), zap.String("reason", outcome), zap.String("remote_ip", clientIP(r)))
	})
	return nil
}

func (i *TokenIssuer) serve(w http.ResponseWriter, r *http.Request) (outcome string) {
	if r.Method != http.MethodPost {
		doNotWaitForBody(w)
		w.Header().Set("Allow", http.MethodPost)
		answerError(w, http.StatusMethodNotAllowed, "invalid_request", "log in with POST: a URL with a password in it would be logged")
		return tokenBadRequest
	}
	network := networkOf(clientIP(r))
	if wait := i.failures.wait(network, time.Now()); wait > 0 {
		doNotWaitForBody(w)
		return answerLimited(w, wait)
	}
	l, err := readLogin(w, r)
	var bad *loginError
	if errors.As(err, &bad) {
		doNotWaitForBody(w)
		answerError(w, bad.status, bad.code, bad.text)
		return tokenBadRequest
	}
	now := time.Now()
	right, wait := i.failures.try(network, l.name(), now, func() bool { return i.accepts(&l) })
	switch {
	case wait > 0:
		return answerLimited(w, wait)
	case !right:
		code := "invalid_client"
		if l.user != nil {
			code = "invalid_grant"
		}
		if l.basic {
			w.Header().Set("WWW-Authenticate", new(Basic).challenge())
		}
		answerError(w, http.StatusUnauthorized, code, "the name or the password is wrong")
		return tokenWrong
	}
	token, err := i.issue(now)
	if errors.Is(err, errKeyNotReady) && i.app.awaitStart(r.Context()) {
		token, err = i.issue(now)
	}
	if err != nil {
		w.Header().Set("Retry-After", strconv.Itoa(5+rand.IntN(11)))
		answerError(w, http.StatusServiceUnavailable, "temporarily_unavailable", "try again later")
		return tokenUnavailable
	}
	answerJSON(w, http.StatusOK, map[string]any{
		i.Attribute:  token,
		"token_type": "Bearer",
		"expires_in": int64(time.Duration(i.Lifetime) / time.Second),
	})
	return tokenIssued
}

// accepts reports whether all that is said is right. What is in Basic is a user's
// too, if there is no other and the grant is not only for clients.
func (i *TokenIssuer) accepts(l *login) bool {
	user := l.user == nil || i.users.contains(*l.user)
	client := len(l.client) == 0 || i.clients.contains(l.client...)
	if l.basic && l.user == nil {
		named := i.users.contains(l.client...)
		switch l.grant {
		case "":
			client = client || named
		case "password":
			client = named
		}
	}
	return user && client
}

func answerLimited(w http.ResponseWriter, wait time.Duration) string {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	answerError(w, http.StatusTooManyRequests, "slow_down", "too many failed logins")
	return tokenLimited
}

func answerError(w http.ResponseWriter, status int, code, text string) {
	answerJSON(w, status, map[string]any{"error": code, "error_description": text})
}

func answerJSON(w http.ResponseWriter, status int, members map[string]any) {
	body, _ := json.Marshal(members) // texts and numbers, which it always can
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// doNotWaitForBody bounds how long the answer waits for the rest of a body that
// nobody reads.
func doNotWaitForBody(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadTimeout))
}
