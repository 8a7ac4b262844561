// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// The fault tests hear of a broken promise: whoever breaks one of I1 to I7 on
// purpose is noticed by an ordinary load, in which some webhooks come twice, some
// are refused, and some attempts fail. The same load finds nothing wrong with the
// inbox as it is, or as it is on a disk that is full now and then.
func TestFaultHarnessNoticesWhatIsBroken(t *testing.T) {
	for _, c := range []struct {
		name      string
		mutations []string
		site      string // around the endpoint
		breaks    ledger.Invariant
	}{
		{"nothing", nil, "%s", 0},
		{"nothing, on a full disk", []string{refusesSome}, "%s", 0},
		{"a key before its message", []string{keyBeforeMessage, refusesSome}, "%s", ledger.Loss},
		{"an ack before the answer", []string{ackBeforeAnswer}, "%s", ledger.Loss},
		{"another byte", []string{changesAByte}, "%s", ledger.Invention},
		{"no duplicates", []string{forgetsKeys}, "%s", ledger.Sameness},
		{"two deliveries", []string{deliversTwice}, "%s", ledger.Repetition},
		{"a handler that refuses what is accepted", nil, refusesWhatIsAccepted, ledger.Intrusion},
		{"no backoff", []string{ignoresBackoff}, "%s", ledger.Haste},
		{"no memory of attempts", []string{forgetsAttempts}, "%s", ledger.Haste},
		{"a grudge", []string{bearsAGrudge}, "%s", ledger.Grudge},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, backoff := &ledger.Ledger{Backoff: 20 * time.Millisecond}, "40ms 40ms"
			if slices.Contains(c.mutations, ignoresBackoff) { // which a slow disk is not to hide
				l.Backoff, backoff = patience/4, "10s 10s"
			}
			app := witness(t, l, failsSome())
			s := newServer(t)
			site := fmt.Sprintf(c.site, retrySite(app.addr, "retry {\nbackoff "+backoff+"\n}"))
			if err := s.tryLoad(s.caddyfile(s.brokenBy(c.mutations...), site)); err != nil {
				t.Fatal(err)
			}
			ordinaryLoad(s, l)
			rest(t, s, "demo")
			if c.breaks != 0 {
				expectBroken(t, l, ledger.End{}, c.breaks)
				return
			}
			if c := report(t, l, ledger.End{}); c.Accepted < 100 || c.Attempts == c.Delivered || c.Refused == 0 {
				t.Errorf("that is no load: %+v", c)
			}
		})
	}
}

// refusesWhatIsAccepted tells every other sender that its webhook was refused.
const refusesWhatIsAccepted = `
	@some header_regexp X-Webhook-Id 1$
	intercept @some {
		@accepted status 202
		handle_response @accepted {
			respond 401
		}
	}
	%s
`

// failsSome is an application that fails the first attempt of one message in ten,
// of each sender at another time, so that there is no outage.
func failsSome() func(key string, _ int) (int, time.Duration) {
	var tried sync.Map
	return func(key string, _ int) (int, time.Duration) {
		if _, again := tried.LoadOrStore(key, true); key[0] == key[len(key)-1] && !again {
			return http.StatusInternalServerError, 0
		}
		return http.StatusNoContent, 0
	}
}

// ordinaryLoad sends webhooks, each until it is accepted, but not for ever: every
// tenth then comes again, and every tenth is not signed.
func ordinaryLoad(s *server, l *ledger.Ledger) {
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	var senders sync.WaitGroup
	for sender := range 8 {
		senders.Go(func() {
			for n := range 20 {
				id := fmt.Sprintf("%d-%d", sender, n)
				body := "the body of " + id
				send := func() {
					for status, tries := 0, 0; status != http.StatusAccepted && tries < 4; tries++ {
						l.Sent(id, []byte(body))
						status = post(s.t.Context(), client, s.addr, id, body)
						l.Answered(id, status)
					}
				}
				send()
				if n%10 == 3 {
					send()
				}
			}
			id, body := fmt.Sprintf("forged-%d", sender), "forged"
			l.Sent(id, []byte(body))
			resp, err := s.trySend("POST", "/", header("X-Webhook-Id", id), body)
			if err != nil {
				s.t.Error(err)
				return
			}
			resp.Body.Close()
			l.Answered(id, resp.StatusCode)
		})
	}
	senders.Wait()
}
