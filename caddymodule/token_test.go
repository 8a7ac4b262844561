// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// issuerSite issues tokens at /login and takes them elsewhere.
const issuerSite = `
	webhook_inbox_token /login idexa {
		user   idexa "pass word+1"
		user   idexa previous
		client app   "s3cr:t/%%+"
	}
	webhook_inbox demo {
		verify bearer {
			issued_by idexa
		}
		message_id header X-Webhook-Id
		deliver %s
	}
`

const (
	form   = "application/x-www-form-urlencoded"
	inJSON = "application/json"
)

// login sends a login and returns the answer.
func (s *server) login(header http.Header, body string) (*http.Response, map[string]any) {
	s.t.Helper()
	return s.loginAt("/login", header, body)
}

func (s *server) loginAt(uri string, header http.Header, body string) (*http.Response, map[string]any) {
	s.t.Helper()
	resp, err := s.trySend("POST", uri, header, body)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		s.t.Fatalf("%s: status %d: %v", uri, resp.StatusCode, err)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "Pragma": "no-cache", "Content-Type": inJSON} {
		if got := resp.Header.Get(name); got != want {
			s.t.Errorf("%s: %s is %q, want %q", uri, name, got, want)
		}
	}
	return resp, answer
}

// token logs in as the user and returns the token.
func (s *server) token() string {
	s.t.Helper()
	resp, answer := s.login(header("Content-Type", form), "username=idexa&password=previous")
	token, _ := answer["access_token"].(string)
	if resp.StatusCode != http.StatusOK || token == "" {
		s.t.Fatalf("login: status %d, %v", resp.StatusCode, answer)
	}
	return token
}

func withBearer(token, id string) http.Header {
	return header("Authorization", "Bearer "+token, "X-Webhook-Id", id)
}

// A sender logs in as IDEXA does, or in another of the ways that there are, and
// delivers with what it got. The application is asked nothing.
func TestASenderThatLogsInDelivers(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(issuerSite, app.addr))
	basic := func(name, password string) string {
		r := http.Request{Header: make(http.Header)}
		r.SetBasicAuth(name, password)
		return r.Header.Get("Authorization")
	}
	for name, c := range map[string]struct {
		header http.Header
		body   string
	}{
		"form":                                {header("Content-Type", form), "username=idexa&password=pass+word%2B1"},
		"form with a charset":                 {header("Content-Type", form+"; charset=UTF-8"), "username=idexa&password=pass+word%2B1"},
		"JSON":                                {header("Content-Type", inJSON), `{"username":"idexa","password":"pass word+1","remember":true}`},
		"JSON that says it is a form":         {header("Content-Type", form), ` {"username":"idexa","password":"pass word+1"}`},
		"another password of the user":        {header("Content-Type", form), "username=idexa&password=previous"},
		"OAuth password grant":                {header("Content-Type", form), "grant_type=password&username=idexa&password=previous&scope=x"},
		"OAuth password grant and client":     {header("Content-Type", form, "Authorization", basic("app", "s3cr:t/%+")), "grant_type=password&username=idexa&password=previous"},
		"OAuth client in JSON":                {header("Content-Type", inJSON), `{"grant_type":"client_credentials","client_id":"app","client_secret":"s3cr:t/%+"}`},
		"client in Basic":                     {header("Content-Type", form, "Authorization", basic("app", "s3cr:t/%+")), "grant_type=client_credentials"},
		"client in Basic, written as a form":  {header("Content-Type", form, "Authorization", basic("app", url.QueryEscape("s3cr:t/%+"))), "grant_type=client_credentials"},
		"client in Basic, named in the body":  {header("Content-Type", form, "Authorization", basic("app", "s3cr:t/%+")), "grant_type=client_credentials&client_id=app"},
		"user in Basic":                       {header("Content-Type", form, "Authorization", basic("idexa", "pass word+1")), "grant_type=password"},
		"user in Basic, and nothing else":     {header("Authorization", basic("idexa", "pass word+1")), ""},
		"user in the body, and another token": {header("Content-Type", form, "Authorization", "Bearer x"), "username=idexa&password=previous"},
	} {
		t.Run(name, func(t *testing.T) {
			s, app := s.within(t), app.within(t)
			resp, answer := s.login(c.header, c.body)
			if resp.StatusCode != http.StatusOK || answer["token_type"] != "Bearer" || answer["expires_in"] != 3600.0 || len(answer) != 3 {
				t.Fatalf("login: status %d, %v", resp.StatusCode, answer)
			}
			s.expect(http.StatusAccepted, "PUT", "/ocr/1", withBearer(answer["access_token"].(string), name), "hello")
			if d := app.next(); d.Method != "PUT" || d.Body != "hello" {
				t.Errorf("delivered %+v", d)
			}
		})
	}
	if metrics := s.metrics(); !strings.Contains(metrics, `caddy_webhook_inbox_tokens_total{issuer="idexa",outcome="issued"} 14`) {
		t.Error("the metrics don't count the tokens")
	}
}

// The OAuth client of Go gets a token in both styles, and sends with it.
func TestAnOAuthClientDelivers(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(issuerSite, app.addr))
	for name, style := range map[string]oauth2.AuthStyle{"header": oauth2.AuthStyleInHeader, "params": oauth2.AuthStyleInParams, "whatever": oauth2.AuthStyleAutoDetect} {
		config := clientcredentials.Config{ClientID: "app", ClientSecret: "s3cr:t/%+", TokenURL: "http://" + s.addr + "/login", AuthStyle: style, Scopes: []string{"webhooks"}}
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+s.addr+"/", strings.NewReader(name))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Webhook-Id", name)
		resp, err := config.Client(context.WithValue(t.Context(), oauth2.HTTPClient, http.DefaultClient)).Do(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted || app.next().Body != name {
			t.Errorf("%s: status %d", name, resp.StatusCode)
		}
	}
	config := clientcredentials.Config{ClientID: "app", ClientSecret: "wrong", TokenURL: "http://" + s.addr + "/login", AuthStyle: oauth2.AuthStyleInHeader}
	_, err := config.Token(t.Context())
	if refused, ok := err.(*oauth2.RetrieveError); !ok || refused.ErrorCode != "invalid_client" {
		t.Errorf("with a wrong secret: %v", err)
	}
}

// A sender can log in and deliver while the application is down, and its token
// remains valid when Caddy is reloaded and restarted.
func TestTokensOutliveReloadsAndRestarts(t *testing.T) {
	down := freeAddr(t)
	s := serve(t, fmt.Sprintf(issuerSite, down))
	token := s.token()
	s.expect(http.StatusAccepted, "POST", "/", withBearer(token, "1"), "")

	s.load(fmt.Sprintf(issuerSite, down) + "\nheader X-Reloaded yes")
	s.expect(http.StatusAccepted, "POST", "/", withBearer(token, "2"), "")

	s.stop()
	s.load(fmt.Sprintf(issuerSite, down))
	s.expect(http.StatusAccepted, "POST", "/", withBearer(token, "3"), "")
	s.expect(http.StatusAccepted, "POST", "/", withBearer(s.token(), "4"), "")

	path := filepath.Join(s.dir, "token.key")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("the mode of the key is %o", mode)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	// Without its key, it is worth nothing.
	s.stop()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	s.load(fmt.Sprintf(issuerSite, down))
	s.expect(http.StatusUnauthorized, "POST", "/", withBearer(token, "5"), "")
}

// Two sites with the same issuer issue the same tokens, and another issuer others.
// An endpoint takes fixed tokens too, if it says so.
func TestATokenIsOfOneIssuer(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	const idexa = "idexa {\n user idexa previous\n}\n"
	err := s.tryLoad(s.caddyfile("", `
		webhook_inbox_token /login `+idexa+`
		webhook_inbox_token /other other {
			user idexa previous
			attribute token
			lifetime 90s
		}
		webhook_inbox demo {
			verify bearer fixed {
				issued_by idexa
			}
			dedupe off
			deliver `+app.addr+`
		}
	`) + "http://" + freeAddr(t) + " {\n webhook_inbox_token " + idexa + "}\n")
	if err != nil {
		t.Fatal(err)
	}
	s.expect(http.StatusAccepted, "POST", "/", withBearer("fixed", ""), "")
	s.expect(http.StatusAccepted, "POST", "/", withBearer(s.token(), ""), "")
	_, answer := s.loginAt("/other", header("Content-Type", form), "username=idexa&password=previous")
	if answer["expires_in"] != 90.0 || len(answer) != 3 {
		t.Errorf("answered %v", answer)
	}
	other := answer["token"].(string)
	resp := s.expect(http.StatusUnauthorized, "POST", "/", withBearer(other, ""), "")
	if got := resp.Header.Get("WWW-Authenticate"); got != "Bearer" {
		t.Errorf("WWW-Authenticate is %q", got)
	}
	s.expect(http.StatusUnauthorized, "POST", "/", withBearer("wrong", ""), "")
	s.expect(http.StatusUnauthorized, "POST", "/", nil, "")
}

func TestIDEXALogin(t *testing.T) {
	t.Setenv("IDEXA_PASSWORD", "correct horse")
	x := newExchange(t, "idexa-login")
	resp, answer := x.server.loginAt("/ocr_login", header("Content-Type", form), "username=idexa&password=correct+horse")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("login: status %d, %v", resp.StatusCode, answer)
	}
	send := func(token, body string) request {
		return request{"POST", "/ocr_feedback/a7046a49", header("Authorization", "Bearer "+token, "Content-Type", inJSON), body}
	}
	token := answer["access_token"].(string)
	first := x.accepted(send(token, `{"status": 0}`))
	x.duplicate(first, send(token, `{"status": 0}`))

	// It logs in for each webhook.
	_, again := x.server.loginAt("/ocr_login", header("Content-Type", form), "username=idexa&password=correct+horse")
	x.accepted(send(again["access_token"].(string), `{"status": 1}`))
	x.refused(send(strings.ToLower(token), `{"status": 2}`))
	x.refused(request{"POST", "/ocr_feedback/1", nil, "{}"})
	x.end(send(token, `{"status": 3}`))
}
