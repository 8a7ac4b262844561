// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// Nothing is stored for later if the application does not answer.
func TestPassthroughWithoutAnswerIsAnError(t *testing.T) {
	app := newApplication(t)
	app.handle = func(_ http.ResponseWriter, r *http.Request, _ []byte) { <-r.Context().Done() }
	for name, c := range map[string]struct {
		deliver string
		options string
		status  int
	}{
		"it is down":               {"reverse_proxy " + freeAddr(t), "", http.StatusBadGateway},
		"no handler answers":       {"header X-A b", "", http.StatusBadGateway},
		"it takes too long":        {"reverse_proxy " + app.addr, "attempt_timeout 100ms", http.StatusGatewayTimeout},
		"the route has an error":   {"error 429", "", http.StatusTooManyRequests},
		"the route is misdirected": {"@none path /none\n reverse_proxy @none " + app.addr, "", http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, challengeSite(c.deliver, c.options))
			s.expect(c.status, "POST", "/", githubHeader("1", challenge), challenge)
			s.nothingQueued()
		})
	}
}

// That it failed is in the log, without anything of the request: it may hold a
// token that lets in whoever has it.
func TestPassthroughThatFailsShowsNothingOfTheRequest(t *testing.T) {
	l := newLogged(t)
	l.loadLogged("INFO", "", "webhook_inbox demo {\nverify token X-Webhook-Token s3same-t0ken\ndedupe off\npassthrough *\ndeliver "+freeAddr(t)+"\n}\n")
	l.expect(502, "POST", "/?q=s3cret-query", header("X-Webhook-Token", "s3same-t0ken"), "s3cret-body")
	l.expectEntry("error", "webhook not passed through", entry{"endpoint": "demo", "scheme": "token", "status": 502.0})
	for _, secret := range []string{"s3same-t0ken", "s3cret-query", "s3cret-body"} {
		if strings.Contains(l.text(), secret) {
			t.Errorf("the log has %s:\n%s", secret, l.text())
		}
	}
}

// However many bodies wait for an application that hangs, others are received.
func TestPassthroughLeavesRoomForOthers(t *testing.T) {
	app := newApplication(t)
	app.handle = func(_ http.ResponseWriter, r *http.Request, _ []byte) { <-r.Context().Done() }
	s := newServer(t)
	handle := func(name string) string {
		return "handle /" + name + " {\nwebhook_inbox " + name + " {\nverify bearer token\ndedupe off\npassthrough *\ndeliver " + app.addr + "\n}\n}\n"
	}
	err := s.tryLoad(s.caddyfile("webhook_inbox {\n queue badger "+s.dir+" {\n min_free_space 64MiB\n }\n max_in_flight 16KiB\n }",
		handle("a")+handle("b")+"webhook_inbox /c c {\nverify bearer token\ndedupe off\ndeliver "+freeAddr(t)+"\n}\n"))
	if err != nil {
		t.Fatal(err)
	}
	body, h := strings.Repeat("x", 3<<10), header("Authorization", "Bearer token")
	ctx, cancel := context.WithCancel(t.Context())
	var hanging sync.WaitGroup
	defer hanging.Wait()
	defer cancel()
	for _, uri := range []string{"/a", "/b"} {
		hanging.Go(func() {
			r, _ := http.NewRequestWithContext(ctx, "POST", "http://"+s.addr+uri, strings.NewReader(body))
			r.Header = h
			if resp, err := http.DefaultClient.Do(r); err == nil {
				resp.Body.Close()
				t.Errorf("%s was answered %d", uri, resp.StatusCode)
			}
		})
		app.next()
	}
	s.expect(503, "POST", "/a", h, body)
	s.expect(503, "POST", "/b", h, body)
	s.expect(202, "POST", "/c", h, body)
}

// An answer that breaks off breaks off for the sender, and does no harm.
func TestPassthroughAnswerThatBreaksOff(t *testing.T) {
	app := newApplication(t)
	app.handle = func(w http.ResponseWriter, _ *http.Request, body []byte) {
		if string(body) != challenge {
			return
		}
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "only this")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	s := serve(t, challengeSite("reverse_proxy "+app.addr, ""))
	resp, err := s.trySend("POST", "/", githubHeader("1", challenge), challenge)
	if err == nil {
		var data []byte
		data, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil {
			t.Errorf("the sender got %q as if it were whole", data)
		}
	}
	s.expect(202, "POST", "/", githubHeader("2", "{}"), "{}")
	s.settled("demo")
}

func TestPassthroughStreamsTheAnswer(t *testing.T) {
	app := newApplication(t)
	read := make(chan bool)
	app.handle = func(w http.ResponseWriter, r *http.Request, _ []byte) {
		io.WriteString(w, "first\n")
		http.NewResponseController(w).Flush()
		select {
		case <-read:
			io.WriteString(w, "second\n")
		case <-r.Context().Done():
		}
	}
	s := serve(t, challengeSite("reverse_proxy "+app.addr+" {\n flush_interval -1\n }", ""))
	resp, err := s.trySend("POST", "/", githubHeader("1", challenge), challenge)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewReader(resp.Body)
	if line, err := lines.ReadString('\n'); line != "first\n" {
		t.Fatalf("read %q, %v", line, err)
	}
	close(read)
	if line, err := lines.ReadString('\n'); line != "second\n" {
		t.Errorf("read %q, %v", line, err)
	}
}

func TestPassthroughEndsWithItsSender(t *testing.T) {
	app := newApplication(t)
	ended := make(chan bool)
	app.handle = func(_ http.ResponseWriter, r *http.Request, _ []byte) {
		<-r.Context().Done()
		close(ended)
	}
	s := serve(t, challengeSite("reverse_proxy "+app.addr, "attempt_timeout 1h"))
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: h\r\nX-Hub-Signature-256: %s\r\nContent-Length: %d\r\n\r\n%s",
		githubHeader("1", challenge).Get("X-Hub-Signature-256"), len(challenge), challenge)
	app.next()
	conn.Close()
	receive(t, ended, "the application knows that the sender is gone")
	s.nothingQueued()
}

// A route that leads back to the inbox would go round for ever.
func TestPassthroughLoopIsDetected(t *testing.T) {
	s := newServer(t)
	s.load(challengeSite("reverse_proxy "+s.addr, ""))
	s.expect(508, "POST", "/", githubHeader("1", challenge), challenge)
	s.nothingQueued()
	if n := s.received("loop"); n != 1 {
		t.Errorf("%v are counted as loops, want 1", n)
	}
}

// A sender that tests its endpoint gets its answer also while nothing can be
// stored. Forged requests get nothing then, either.
func TestPassthroughWorksWhileTheQueueIsNotOpen(t *testing.T) {
	app := newApplication(t)
	s := newServer(t)
	s.loadQueue("min_free_space 1000TiB", challengeSite("reverse_proxy "+app.addr, ""))
	s.expect(503, "POST", "/", githubHeader("1", "{}"), "{}")
	s.expect(401, "POST", "/", nil, challenge)
	s.expect(204, "POST", "/", githubHeader("1", challenge), challenge)
	if d := app.next(); d.Body != challenge {
		t.Errorf("passed %q through", d.Body)
	}
	app.none()
}

// The rules for what need not be looked at come first.
func TestPassthroughKeepsTheLimits(t *testing.T) {
	app := newApplication(t)
	s := serve(t, challengeSite("reverse_proxy "+app.addr, "max_body 1KiB\n read_timeout 100ms"))
	h := githubHeader("1", challenge)
	large := challenge + strings.Repeat(" ", 1024)
	s.expect(413, "POST", "/", githubHeader("1", large), large)
	early := h.Clone()
	early.Set("Early-Data", "1")
	s.expect(425, "POST", "/", early, challenge)
	s.raw(t, 408, fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nX-Hub-Signature-256: %s\r\nContent-Length: %d\r\n\r\n%s",
		h.Get("X-Hub-Signature-256"), len(challenge), challenge[:10]))
	s.settled("demo")
	app.none()
}

// The body takes room among those being received until the answer is complete.
func TestPassthroughHoldsTheMemoryOfItsBody(t *testing.T) {
	app := newApplication(t)
	answer := make(chan bool)
	app.handle = func(_ http.ResponseWriter, r *http.Request, _ []byte) {
		select {
		case <-answer:
		case <-r.Context().Done():
		}
	}
	s := newServer(t)
	err := s.tryLoad(s.caddyfile("webhook_inbox {\n queue badger "+s.dir+" {\n min_free_space 64MiB\n }\n max_in_flight 1KiB\n }",
		challengeSite("reverse_proxy "+app.addr, "")))
	if err != nil {
		t.Fatal(err)
	}
	padded := challenge + strings.Repeat(" ", 200)
	done := make(chan int, 1)
	go func() {
		resp, err := s.trySend("POST", "/", githubHeader("1", padded), padded)
		if err != nil {
			done <- 0
			return
		}
		resp.Body.Close()
		done <- resp.StatusCode
	}()
	app.next()
	s.expect(503, "POST", "/", githubHeader("2", padded), padded)
	close(answer)
	if status := receive(t, done, "the answer comes"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	eventually(t, "there is room again", func() bool {
		return s.send("POST", "/", githubHeader("2", padded), padded).StatusCode == http.StatusOK
	})
}

// Passing through is not held up by deliveries, which have all their attempts
// under way.
func TestPassthroughTakesNoneOfTheConcurrency(t *testing.T) {
	app := newApplication(t)
	app.handle = func(_ http.ResponseWriter, r *http.Request, body []byte) {
		if string(body) != challenge {
			<-r.Context().Done()
		}
	}
	s := serve(t, challengeSite("reverse_proxy "+app.addr, "concurrency 1\n attempt_timeout 1h"))
	s.expect(202, "POST", "/", githubHeader("1", "{}"), "{}")
	app.next()
	s.expect(200, "POST", "/", githubHeader("2", challenge), challenge)
}
