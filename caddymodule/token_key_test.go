// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// While the key cannot be made, as on a full disk, Caddy runs: who logs in, or
// brings a token, shall try again. Then all is well by itself.
func TestAKeyThatCannotBeMadeYet(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	// Nothing can be written where a link to nowhere is.
	path := filepath.Join(s.dir, "token.key")
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(s.dir, "nowhere"), path); err != nil {
		t.Fatal(err)
	}
	s.load(fmt.Sprintf(issuerSite, app.addr))

	resp, answer := s.login(header("Content-Type", form), "username=idexa&password=previous")
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || answer["error"] != "temporarily_unavailable" {
		t.Errorf("login: status %d, %v", resp.StatusCode, answer)
	}
	if resp, _ := s.login(header("Content-Type", form), "username=idexa&password=wrong"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("wrong login: status %d", resp.StatusCode)
	}
	refused := s.expect(http.StatusServiceUnavailable, "POST", "/", withBearer("a.b.c", "1"), "hello")
	if refused.Header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	s.expect(http.StatusUnauthorized, "POST", "/", nil, "hello")
	s.expect(http.StatusUnauthorized, "POST", "/", header("Authorization", "Basic x"), "hello")

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a token is issued", func() bool {
		resp, _ := s.login(header("Content-Type", form), "username=idexa&password=previous")
		return resp.StatusCode == http.StatusOK
	})
	s.expect(http.StatusAccepted, "POST", "/", withBearer(s.token(), "1"), "hello")
	s.expect(http.StatusUnauthorized, "POST", "/", withBearer("a.b.c", "1"), "hello")
}

// With another key than before all tokens would be wrong, so a damaged one is not
// replaced.
func TestADamagedKeyIsAnError(t *testing.T) {
	const whole = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
	for name, content := range map[string]string{
		"empty":        "",
		"short":        whole[2:] + "\n",
		"long":         whole + "00",
		"no hex":       "x" + whole[1:],
		"two newlines": whole + "\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			path := filepath.Join(s.dir, "token.key")
			if err := os.MkdirAll(s.dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			err := s.tryLoad(s.caddyfile("", fmt.Sprintf(issuerSite, "127.0.0.1:9")))
			if err == nil || !strings.Contains(err.Error(), path+" is damaged") {
				t.Errorf("loaded with %v", err)
			}
			if err != nil && content != "" && strings.Contains(err.Error(), content) {
				t.Errorf("the error shows the key: %v", err)
			}
			if left, err := os.ReadFile(path); err != nil || string(left) != content {
				t.Errorf("it was changed: %q, %v", left, err)
			}

			// Whole again, it serves; and who has a key of their own needs none.
			if err := os.WriteFile(path, []byte(whole), 0o600); err != nil {
				t.Fatal(err)
			}
			s.load(fmt.Sprintf(issuerSite, "127.0.0.1:9"))
			s.token()
		})
	}
}

// A key that others could read is made readable by its owner only, and that they
// could is said.
func TestAKeyThatOthersCanRead(t *testing.T) {
	l := newLogged(t)
	l.loadLogged("WARN", "", fmt.Sprintf(issuerSite, "127.0.0.1:9"))
	token := l.token()
	if found := l.entries("others could read the key"); len(found) > 0 {
		t.Errorf("of its own key it says %v", found)
	}
	l.stop()
	path := filepath.Join(l.dir, "token.key")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	l.loadLogged("WARN", "", fmt.Sprintf(issuerSite, "127.0.0.1:9"))
	l.expectEntry("warn", "others could read the key of the tokens until now", entry{"file": path})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("its mode is %o", mode)
	}
	l.expect(http.StatusAccepted, "POST", "/", withBearer(token, "1"), "")
}

// An issuer with a key of its own makes no file, and neither does validating.
func TestNoKeyIsMadeWithoutNeed(t *testing.T) {
	t.Setenv("TOKEN_KEY", tokenKey)
	s := serve(t, fmt.Sprintf(keyedSite, "127.0.0.1:9"))
	s.token()
	if _, err := os.Stat(filepath.Join(s.dir, "token.key")); !os.IsNotExist(err) {
		t.Errorf("there is a file: %v", err)
	}

	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	config, _, err := adapt(":8080 {\n" + fmt.Sprintf(issuerSite, "127.0.0.1:9") + "}\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(config); err != nil {
		t.Error(err)
	}
	nothingOpened(t, dir)
}

func TestIssuersThatAreRefused(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("PASSWORD", "s3cr3t")
	t.Setenv("SHORT", "s3cr3t")
	t.Setenv("EMPTY", "")
	issuer := func(fields string) string {
		return `{"handler": "webhook_inbox_token", "name": "idexa", "users": [{"name": "idexa", "password": "{env.PASSWORD}"}]` + fields + `}`
	}
	bearer := func(fields string) string {
		return `{"handler": "webhook_inbox", "endpoint": "demo", "dedupe": {"off": true}, "deliver": [{}], "verify": [{"scheme": "bearer"` + fields + `}]}`
	}
	for _, c := range []struct{ name, handlers, want string }{
		{"nothing but what is required", issuer(""), ""},
		{"no name", issuer(`, "name": ""`), `token issuer name ""`},
		{"a name with a slash", issuer(`, "name": "a/b"`), `token issuer name "a/b"`},
		{"an unknown field", issuer(`, "lifetme": "1h"`), `unknown field "lifetme"`},
		{"nobody", issuer(`, "users": []`), "token issuer idexa: nobody may log in"},
		{"an empty password", issuer(`, "clients": [{"id": "x", "secret": "{env.EMPTY}"}]`), "client 1: "},
		{"no password", issuer(`, "users": [{"name": "x"}]`), "user 1: the secret is empty"},
		{"a user without a name", issuer(`, "users": [{"password": "x"}]`), "user 1: the name is empty"},
		{"a password that is not set", issuer(`, "users": [{"name": "x", "password": "{env.NOT_SET}"}]`), "{env.NOT_SET}"},
		{"a short key", issuer(`, "key": "{env.SHORT}"`), "key: it is shorter than 32 bytes: make one with `openssl rand -base64 32`"},
		{"a key that is not set", issuer(`, "key": "{env.NOT_SET}"`), "key: "},
		{"a short lifetime", issuer(`, "lifetime": "1ms"`), "lifetime is 1ms"},
		{"an attribute with another meaning", issuer(`, "attribute": "expires_in"`), "attribute expires_in: it has another meaning in the answer"},
		{"an attribute that is the type's", issuer(`, "attribute": "token_type"`), "attribute token_type: "},
		{"an attribute that is an error's", issuer(`, "attribute": "error"`), "attribute error: "},
		{"an attribute that describes an error", issuer(`, "attribute": "error_description"`), "attribute error_description: "},
		{"one name configured differently", issuer("") + ", " + issuer(`, "lifetime": "2h"`), "differently in lifetime: one name is one issuer"},
		{"one name configured alike", issuer("") + ", " + issuer(""), ""},
		{"neither token nor issuer", bearer(""), "token is missing"},
		{"an issuer that cannot be one", bearer(`, "issued_by": "a/b"`), `issued_by "a/b"`},
		{"an issuer that comes later", bearer(`, "issued_by": "idexa"`) + ", " + issuer(""), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			checkRefused(t, validate([]byte(`{"apps": {"http": {"servers": {"srv": {"listen": [":8080"], "routes": [{"handle": [`+c.handlers+`]}]}}}}}`)), "", c.want)
		})
	}
}

// That nobody issues what an endpoint takes is seen when Caddy starts.
func TestAnIssuerThatIsNotThere(t *testing.T) {
	s := newServer(t)
	site := strings.ReplaceAll(fmt.Sprintf(issuerSite, "127.0.0.1:9"), "issued_by idexa", "issued_by idxea")
	err := s.tryLoad(s.caddyfile("", site))
	for _, want := range []string{"endpoint demo: ", "issued_by idxea", "did you mean idexa?", "webhook_inbox_token <matcher> idxea"} {
		checkRefused(t, err, "", want)
	}
}
