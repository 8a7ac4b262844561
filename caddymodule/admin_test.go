// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type deadLetters struct {
	DeadLetters []struct {
		ID     string
		Path   string
		Method string
		Reason string
	} `json:"dead_letters"`
	Next string
}

const deadSite = `
	webhook_inbox demo {
		verify token X-Webhook-Token secret-token
		message_id header X-Webhook-Id
		deliver %s
		retry {
			give_up_on 4xx
		}
	}
`

// bury makes dead letters of messages with the given ids.
func bury(t *testing.T, s *server, app *application, ids ...string) {
	t.Helper()
	app.status.Store(http.StatusBadRequest)
	for _, id := range ids {
		h := tokenHeader(id)
		h.Set("Authorization", "Bearer also-secret")
		h.Set("X-Topic", "orders")
		s.expect(202, "POST", "/hooks?topic=a%20b&token=in-the-query&api%4Bey=in-the-query&", h, "body of "+id)
		app.next()
	}
	eventually(t, "they are dead", func() bool { return s.endpoint("demo").DeadLetters == int64(len(ids)) })
	app.status.Store(http.StatusNoContent)
}

func TestDeadLettersAreListedWithoutTheirContent(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(deadSite, app.addr))
	bury(t, s, app, "1", "2", "3")

	var page deadLetters
	s.adminJSON("GET", "/webhook_inbox/endpoints/demo/dead_letters?limit=2", &page)
	if len(page.DeadLetters) != 2 || page.Next == "" {
		t.Fatalf("the first page is %+v", page)
	}
	var rest deadLetters
	s.adminJSON("GET", "/webhook_inbox/endpoints/demo/dead_letters?limit=2&after="+page.Next, &rest)
	if len(rest.DeadLetters) != 1 || rest.Next != "" {
		t.Fatalf("the second page is %+v", rest)
	}
	letter := page.DeadLetters[0]
	if letter.Method != "POST" || letter.Path != "/hooks" || !strings.Contains(letter.Reason, "400") {
		t.Errorf("a dead letter is listed as %+v", letter)
	}

	for _, path := range []string{
		"/webhook_inbox/endpoints",
		"/webhook_inbox/endpoints/demo",
		"/webhook_inbox/endpoints/demo/dead_letters",
		"/webhook_inbox/endpoints/demo/dead_letters/" + letter.ID,
		"/webhook_inbox/endpoints/demo/dead_letters/" + letter.ID + "/request",
	} {
		_, data := s.admin("GET", path)
		for _, secret := range []string{"secret-token", "also-secret", "in-the-query"} {
			if strings.Contains(string(data), secret) {
				t.Errorf("GET %s shows a credential: %s", path, data)
			}
		}
		if !strings.HasSuffix(path, "/request") && strings.Contains(string(data), "topic") {
			t.Errorf("GET %s shows the query: %s", path, data)
		}
	}

	var request struct {
		URI         string
		OriginalURI string `json:"original_uri"`
		Header      http.Header
		Body        []byte
	}
	s.adminJSON("GET", "/webhook_inbox/endpoints/demo/dead_letters/"+letter.ID+"/request", &request)
	if want := "/hooks?topic=a%20b&token=REDACTED&api%4Bey=REDACTED&"; request.URI != want || request.OriginalURI != want {
		t.Errorf("the request is shown with the URIs %s and %s, want %s", request.URI, request.OriginalURI, want)
	}
	if string(request.Body) != "body of 1" || request.Header.Get("X-Topic") != "orders" {
		t.Errorf("the request is shown as %+v", request)
	}
}

func TestDeadLettersAreRedrivenAndDiscarded(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(deadSite, app.addr))
	bury(t, s, app, "1", "2", "3", "4")
	var page deadLetters
	s.adminJSON("GET", "/webhook_inbox/endpoints/demo/dead_letters", &page)
	one := "/webhook_inbox/endpoints/demo/dead_letters/"

	var done map[string]int
	s.adminJSON("POST", one+page.DeadLetters[0].ID+"/redrive", &done)
	if d := app.next(); d.Body != "body of 1" || done["redriven"] != 1 {
		t.Errorf("redriven: %v, delivered %q", done, d.Body)
	}
	s.adminJSON("DELETE", one+page.DeadLetters[1].ID, &done)
	if status, _ := s.admin("DELETE", one+page.DeadLetters[1].ID); status != http.StatusNotFound {
		t.Errorf("discarded again: status %d, want 404", status)
	}
	s.adminJSON("POST", "/webhook_inbox/endpoints/demo/dead_letters/redrive", &done)
	if done["redriven"] != 2 {
		t.Errorf("redrove %v, want the remaining 2", done)
	}
	if first, second := app.next(), app.next(); first.Body == second.Body {
		t.Errorf("delivered %q twice", first.Body)
	}
	eventually(t, "nothing waits", func() bool { e := s.endpoint("demo"); return e.Waiting == 0 && e.DeadLetters == 0 })

	bury(t, s, app, "5", "6")
	s.adminJSON("DELETE", "/webhook_inbox/endpoints/demo/dead_letters", &done)
	if done["discarded"] != 2 {
		t.Errorf("discarded %v, want 2", done)
	}
	// Discarding frees the key: the sender can send it again.
	s.expect(202, "POST", "/", tokenHeader("5"), "again")
	if d := app.next(); d.Body != "again" {
		t.Errorf("delivered %q", d.Body)
	}
}

// A verified re-send takes the place of a dead letter.
func TestResendRevivesDeadLetter(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(deadSite, app.addr))
	bury(t, s, app, "1")
	s.expect(202, "POST", "/", tokenHeader("1"), "sent again")
	if d := app.next(); d.Body != "sent again" {
		t.Errorf("delivered %q", d.Body)
	}
	eventually(t, "the dead letter is gone", func() bool { e := s.endpoint("demo"); return e.Waiting == 0 && e.DeadLetters == 0 })
	s.expect(202, "POST", "/", tokenHeader("1"), "and once more")
	s.expect(202, "POST", "/", tokenHeader("2"), "another")
	if d := app.next(); d.Body != "another" {
		t.Errorf("delivered %q, want the duplicate dropped", d.Body)
	}
}

func TestForgottenIDIsAcceptedAgain(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(tokenSite, app.addr))
	s.expect(202, "POST", "/", tokenHeader("1"), "first")
	app.next()
	var done map[string]int
	s.adminJSON("DELETE", "/webhook_inbox/endpoints/demo/keys?id=1", &done)
	if status, _ := s.admin("DELETE", "/webhook_inbox/endpoints/demo/keys?id=1"); status != http.StatusNotFound {
		t.Errorf("forgotten again: status %d, want 404", status)
	}
	s.expect(202, "POST", "/", tokenHeader("1"), "second")
	if d := app.next(); d.Body != "second" {
		t.Errorf("delivered %q", d.Body)
	}
}

// What a content is forgotten by is in the log, with the duplicate.
func TestForgottenContentIsAcceptedAgain(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	log := filepath.Join(t.TempDir(), "log")
	err := s.tryLoad(s.caddyfile("log {\n\t\toutput file "+log+"\n\t}", fmt.Sprintf(`
	webhook_inbox demo {
		verify token X-Webhook-Token secret-token
		dedupe 1h on content
		deliver %s
	}
`, app.addr)))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.expect(202, "POST", "/", tokenHeader("1"), "the same")
	}
	app.next()
	var content string
	eventually(t, "the duplicate is in the log", func() bool {
		data, err := os.ReadFile(log)
		if err != nil {
			return false
		}
		for line := range strings.Lines(string(data)) {
			var entry struct{ Msg, Content string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "webhook is a duplicate" {
				content = entry.Content
			}
		}
		return content != ""
	})
	var done map[string]int
	s.adminJSON("DELETE", "/webhook_inbox/endpoints/demo/keys?content="+content, &done)
	s.expect(202, "POST", "/", tokenHeader("1"), "the same")
	app.next()
}

func TestOrphanedEndpointIsMoved(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(deadSite, app.addr))
	bury(t, s, app, "1")
	move := "/webhook_inbox/endpoints/demo/move?to=renamed"
	if status, _ := s.admin("POST", move); status != http.StatusConflict {
		t.Errorf("moving a configured endpoint: status %d, want 409", status)
	}
	s.load(fmt.Sprintf(strings.ReplaceAll(deadSite, "demo", "renamed"), app.addr))
	var done map[string]int
	s.adminJSON("POST", move, &done)
	if done["moved"] != 1 {
		t.Errorf("moved %v, want 1", done)
	}
	s.adminJSON("POST", "/webhook_inbox/endpoints/renamed/dead_letters/redrive", &done)
	if d := app.next(); d.Body != "body of 1" || d.Header.Get("Webhook-Inbox-Endpoint") != "renamed" {
		t.Errorf("delivered %+v", d)
	}
}

func TestAdminRefusesWhatItDoesNotKnow(t *testing.T) {
	app := newApplication(t)
	s := serve(t, fmt.Sprintf(tokenSite, app.addr))
	for _, c := range []struct {
		status       int
		method, path string
	}{
		{404, "GET", "/webhook_inbox/endpoints/unknown"},
		{404, "POST", "/webhook_inbox/endpoints/unknown/move?to=demo"},
		{400, "POST", "/webhook_inbox/endpoints/demo/move"},
		{400, "POST", "/webhook_inbox/endpoints/demo/move?to=Not+a+name"},
		{400, "POST", "/webhook_inbox/endpoints/demo/move?to=demo"},
		{409, "POST", "/webhook_inbox/endpoints/demo/move?to=nowhere"},
		{404, "GET", "/webhook_inbox/endpoints/unknown/dead_letters"},
		{404, "POST", "/webhook_inbox/endpoints/unknown/dead_letters/redrive"},
		{404, "DELETE", "/webhook_inbox/endpoints/unknown/dead_letters"},
		{400, "GET", "/webhook_inbox/endpoints/demo/dead_letters/not-an-id"},
		{404, "GET", "/webhook_inbox/endpoints/demo/dead_letters/01920000-0000-7000-8000-000000000000"},
		{404, "POST", "/webhook_inbox/endpoints/demo/dead_letters/01920000-0000-7000-8000-000000000000/redrive"},
		{400, "GET", "/webhook_inbox/endpoints/demo/dead_letters?limit=0"},
		{400, "GET", "/webhook_inbox/endpoints/demo/dead_letters?after=x"},
		{400, "DELETE", "/webhook_inbox/endpoints/demo/keys"},
		{400, "DELETE", "/webhook_inbox/endpoints/demo/keys?content=abc"},
		{400, "DELETE", "/webhook_inbox/endpoints/demo/keys?id=1&content=" + strings.Repeat("0", 64)},
		{404, "DELETE", "/webhook_inbox/endpoints/demo/keys?content=" + strings.Repeat("0", 64)},
		{405, "POST", "/webhook_inbox/endpoints/demo/dead_letters"},
		{405, "DELETE", "/webhook_inbox/endpoints"},
	} {
		if status, data := s.admin(c.method, c.path); status != c.status {
			t.Errorf("%s %s: status %d, want %d: %s", c.method, c.path, status, c.status, data)
		}
	}
	s.load("respond 200")
	if status, _ := s.admin("GET", "/webhook_inbox/endpoints"); status != http.StatusOK && status != http.StatusNotFound {
		t.Errorf("without an inbox: status %d", status)
	}
}
