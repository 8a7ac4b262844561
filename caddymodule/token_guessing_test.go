// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/oauth2"
)

// guessedSite has several who may log in.
const guessedSite = `
	webhook_inbox_token /login idexa {
		user   idexa previous
		user   other previous
		client app   previous
		key    {env.TOKEN_KEY}
	}
`

const (
	trusting       = "servers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}"
	strictTrusting = "servers {\n\t\ttrusted_proxies static 127.0.0.1/32\n\t\ttrusted_proxies_strict\n\t}"
)

// Who fails too often has to wait, even with the right password then. Other names
// and other networks need not, and who logs in rightly never has to. What the
// client writes of its address changes nothing.
func TestGuessingIsStopped(t *testing.T) {
	t.Setenv("TOKEN_KEY", tokenKey)
	s := newServer(t)
	if err := s.tryLoad(s.caddyfile(strictTrusting, guessedSite)); err != nil {
		t.Fatal(err)
	}
	forged := 0
	login := func(from, user, password string) *http.Response {
		// The proxy appends what it sees to what the client wrote.
		forged++
		fields := header("Content-Type", form, "X-Forwarded-For", fmt.Sprintf("198.51.100.%d, %s", forged%250, from))
		resp, _ := s.login(fields, "username="+user+"&password="+password)
		return resp
	}
	for range 50 {
		if resp := login("192.0.2.1", "idexa", "previous"); resp.StatusCode != http.StatusOK {
			t.Fatalf("a right login: status %d", resp.StatusCode)
		}
	}
	for _, c := range []struct{ from, sameNetwork, another string }{
		{"192.0.2.1", "192.0.2.1", "192.0.2.2"},
		{"2001:db8::1", "2001:db8::ffff:ffff:2", "2001:db8:0:1::1"},
	} {
		statuses := make(map[int]int)
		for range 30 {
			statuses[login(c.from, "idexa", "wrong").StatusCode]++
		}
		// It takes six seconds until another is allowed.
		if statuses[401] < 10 || statuses[401] > 12 || statuses[401]+statuses[429] != 30 {
			t.Errorf("from %s: answered %v", c.from, statuses)
		}
		resp := login(c.sameNetwork, "idexa", "previous")
		if after, _ := strconv.Atoi(resp.Header.Get("Retry-After")); resp.StatusCode != http.StatusTooManyRequests || after < 1 || after > 6 {
			t.Errorf("with the right password from %s: status %d, Retry-After %d", c.sameNetwork, resp.StatusCode, after)
		}
		if resp := login(c.sameNetwork, "other", "previous"); resp.StatusCode != http.StatusOK {
			t.Errorf("another user from %s: status %d", c.sameNetwork, resp.StatusCode)
		}
		if resp := login(c.another, "idexa", "previous"); resp.StatusCode != http.StatusOK {
			t.Errorf("from %s: status %d", c.another, resp.StatusCode)
		}
	}
}

// However a client writes its id, its failures are counted together.
func TestGuessingAClientIsStopped(t *testing.T) {
	t.Setenv("TOKEN_KEY", tokenKey)
	s := serve(t, guessedSite)
	r := http.Request{Header: make(http.Header)}
	statuses := make(map[int]int)
	for n := range 30 {
		id := []string{"app", "%61pp", "a%70p", "ap%70", "%61%70%70"}[n%5]
		r.SetBasicAuth(id, "wrong")
		resp, _ := s.login(r.Header, "")
		statuses[resp.StatusCode]++
	}
	if statuses[401] < 10 || statuses[401] > 12 || statuses[401]+statuses[429] != 30 {
		t.Errorf("answered %v", statuses)
	}
	if resp, _ := s.login(header("Content-Type", form), "client_id=app&client_secret=previous"); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("in the body: status %d", resp.StatusCode)
	}
}

// An issuer in two sites has one limit, so that there are not twice as many guesses.
func TestSitesOfAnIssuerShareItsLimit(t *testing.T) {
	t.Setenv("TOKEN_KEY", tokenKey)
	s := newServer(t)
	other := freeAddr(t)
	err := s.tryLoad(s.caddyfile("", guessedSite) + "http://" + other + " {\n" + guessedSite + "}\n")
	if err != nil {
		t.Fatal(err)
	}
	second := s.within(t)
	second.addr = other
	if resp, _ := second.login(header("Content-Type", form), "username=idexa&password=previous"); resp.StatusCode != http.StatusOK {
		t.Fatalf("the second site: status %d", resp.StatusCode)
	}
	for range 11 {
		s.login(header("Content-Type", form), "username=idexa&password=wrong")
	}
	if resp, _ := second.login(header("Content-Type", form), "username=idexa&password=previous"); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("the second site, after the failures at the first: status %d", resp.StatusCode)
	}
}

// If clients can choose the address that they count as, there is a warning.
func TestAddressesThatClientsChooseAreWarnedOf(t *testing.T) {
	const text = "the limit of failed logins goes by the client's address"
	t.Setenv("TOKEN_KEY", tokenKey)
	for name, c := range map[string]struct {
		options string
		warned  bool
	}{
		"trusted proxies":                {trusting, true},
		"trusted proxies, read strictly": {strictTrusting, false},
		"no proxies":                     {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLogged(t)
			l.loadLogged("WARN", c.options, guessedSite)
			for range 2 {
				l.login(header("Content-Type", form, "X-Forwarded-For", "203.0.113.7"), "username=idexa&password=previous")
			}
			if found := l.entries(text); c.warned && len(found) != 1 {
				t.Errorf("it says so %d times", len(found))
			}
			if c.warned {
				l.expectEntry("warn", text, entry{"issuer": "idexa"})
			} else if found := l.entries(text); len(found) > 0 {
				t.Errorf("it says %v", found)
			}
			l.stop()
		})
	}
}

// The OAuth client of Go sends the name and password of a user beside a client that
// has no secret, or beside none. That is no failure, however often it logs in anew.
func TestAUserOfAnOAuthClientWithoutSecret(t *testing.T) {
	t.Setenv("TOKEN_KEY", tokenKey)
	s := serve(t, guessedSite)
	for name, style := range map[string]oauth2.AuthStyle{"header": oauth2.AuthStyleInHeader, "params": oauth2.AuthStyleInParams, "whatever": oauth2.AuthStyleAutoDetect} {
		for _, id := range []string{"", "public", "app"} {
			for range 15 {
				config := oauth2.Config{ClientID: id, Endpoint: oauth2.Endpoint{TokenURL: "http://" + s.addr + "/login", AuthStyle: style}}
				if _, err := config.PasswordCredentialsToken(t.Context(), "idexa", "previous"); err != nil {
					t.Fatalf("%s, client %q: %v", name, id, err)
				}
			}
		}
	}
	metrics := s.metrics()
	issued := `caddy_webhook_inbox_tokens_total{issuer="idexa",outcome="issued"} 135`
	if refused := `outcome="wrong_credentials"`; !strings.Contains(metrics, issued) || strings.Contains(metrics, refused) {
		t.Error("some logins were not right the first time")
	}

	// The client's name lets nobody in.
	config := oauth2.Config{ClientID: "app", Endpoint: oauth2.Endpoint{TokenURL: "http://" + s.addr + "/login"}}
	for _, user := range []string{"app", "idexa"} {
		if _, err := config.PasswordCredentialsToken(t.Context(), user, "wrong"); err == nil {
			t.Errorf("%s logged in with a wrong password", user)
		}
	}
	r := http.Request{Header: make(http.Header)}
	r.SetBasicAuth("app", "")
	if resp, _ := s.login(r.Header, ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a client without a secret, and no user: status %d", resp.StatusCode)
	}
}
