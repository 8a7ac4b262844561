// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue/queuetest/ledger"
)

// An answer is what an application says to the first attempt of each message of an
// endpoint of its own. It says 204 to every further one.
type answer struct {
	status int
	after  retryAfter
}

func (a answer) endpoint() string { return fmt.Sprintf("%d-%s", a.status, a.after.name) }

// retryAfter is a field that asks to be left alone.
type retryAfter struct {
	name  string
	value func(now time.Time) string // none without it
	least time.Duration              // that must be obeyed
}

// anHour is what an answer can ask for at most.
const anHour = time.Hour

var retryAfters = []retryAfter{
	{name: "none"},
	{name: "seconds", value: always("1"), least: time.Second},
	{name: "date", value: func(now time.Time) string {
		return now.Add(2 * time.Second).UTC().Format(http.TimeFormat)
	}, least: time.Second},
	{name: "old-date", value: always("Sun, 06 Nov 1994 08:49:37 GMT")},
	{name: "negative", value: always("-5")},
	{name: "very-negative", value: always("-99999999999999999999")},
	{name: "huge", value: always("86400"), least: anHour},
	{name: "too-huge-for-a-number", value: always("99999999999999999999"), least: anHour},
	{name: "far-date", value: always("Fri, 31 Dec 9999 23:59:59 GMT"), least: anHour},
	{name: "signed", value: always("+3600")},
	{name: "garbage", value: always("soon\t1h; 0x10")},
	{name: "fraction", value: always("3600.5")},
	{name: "long", value: always(strings.Repeat("9", 100_000) + "s")},
}

func always(value string) func(time.Time) string {
	return func(time.Time) string { return value }
}

// allAnswers returns what an application may say: every status, alone and with a
// Retry-After; a few of the statuses, in the long run all, with every Retry-After.
func allAnswers() (all []answer) {
	for status, full := range map[int]bool{
		200: true, 201: false, 202: false, 204: false, 226: false, 299: false,
		300: false, 301: false, 302: true, 303: false, 304: false, 307: false, 308: false,
		400: false, 401: false, 403: false, 404: true, 405: false, 408: false, 409: false, 410: true, 411: false, 413: false,
		422: false, 425: false, 429: true, 451: false, 499: false,
		500: true, 501: false, 502: false, 503: true, 504: false, 507: false, 599: false, 600: false, 999: false,
	} {
		for n, after := range retryAfters {
			if n < 2 || full || faultsAreLong {
				all = append(all, answer{status, after})
			}
		}
	}
	return all
}

// answering returns an application that gives the answers, and what sites have.
func answering(t *testing.T, l *ledger.Ledger, answers []answer) (site string) {
	backoff := 2 * l.Backoff
	app := newApplication(t)
	byEndpoint, answered := make(map[string]answer), new(sync.Map)
	for _, a := range answers {
		byEndpoint[a.endpoint()] = a
		site += fmt.Sprintf(`
	handle /%[1]s/* {
		webhook_inbox %[1]s {
			verify token X-Webhook-Token secret-token
			message_id header X-Webhook-Id
			retry {
				backoff %[3]s %[3]s
			}
			deliver %[2]s
		}
	}
`, a.endpoint(), app.addr, backoff)
	}
	app.handle = func(w http.ResponseWriter, r *http.Request, body []byte) {
		<-app.got
		said := byEndpoint[strings.Trim(path.Dir(r.URL.Path), "/")]
		a := attemptOf(r)
		a.Status, a.Ended = http.StatusNoContent, time.Now()
		if a.Number == 1 {
			a.Status, a.RetryAfter = said.status, said.after.least
			if said.after.value != nil {
				w.Header().Set("Retry-After", said.after.value(a.Ended))
			}
		}
		if before, again := answered.LoadOrStore(keyOf(r), a.Ended); again {
			most := backoff + 2*said.after.least + patience/2
			l.Measured("seconds after "+said.endpoint(), a.Began.Sub(before.(time.Time)).Seconds(), most.Seconds())
		}
		l.Tried(keyOf(r), body, a)
		w.WriteHeader(a.Status)
	}
	return site
}

// giveAnswers has messages delivered to an application that answers all of that,
// waits until everything has settled or waits for an hour, and returns what there
// is in the end.
func giveAnswers(t *testing.T, l *ledger.Ledger, answers []answer, mutations ...string) ledger.End {
	t.Helper()
	s := newServer(t)
	if err := s.tryLoad(s.caddyfile(s.brokenBy(mutations...), answering(t, l, answers))); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(answers, func(a, b answer) int { return strings.Compare(a.endpoint(), b.endpoint()) })
	chance(t).Shuffle(len(answers), func(i, j int) { answers[i], answers[j] = answers[j], answers[i] })
	var senders sync.WaitGroup
	const atOnce = 16
	for first := range atOnce {
		senders.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
			defer client.CloseIdleConnections()
			for n := first; n < len(answers); n += atOnce {
				key := answers[n].endpoint() + "-key"
				sendTo(t, l, client, "http://"+s.addr+"/"+answers[n].endpoint()+"/"+key, key, []byte(key))
			}
		})
	}
	senders.Wait()

	end := ledger.End{Waiting: make(map[string]bool), Dead: make(map[string]bool)}
	var all []endpoint
	eventually(t, "nothing waits but what was asked to", func() bool {
		s.adminJSON("GET", "/webhook_inbox/endpoints", &all)
		for _, e := range all {
			if a := byName(answers, e.Name); e.Waiting > 0 && (a.after.least < anHour || a.status < 300) {
				return false
			}
		}
		return len(all) > 0
	})
	for _, e := range all {
		if e.Waiting > 0 {
			end.Waiting[e.Name+"-key"] = true
		}
		if e.DeadLetters > 0 {
			var letters deadLetters
			s.adminJSON("GET", "/webhook_inbox/endpoints/"+e.Name+"/dead_letters", &letters)
			for _, letter := range letters.DeadLetters {
				end.Dead[path.Base(letter.Path)] = true
			}
		}
	}
	return end
}

func byName(answers []answer, endpoint string) answer {
	for _, a := range answers {
		if a.endpoint() == endpoint {
			return a
		}
	}
	return answer{}
}

// Whatever the status: 2xx is a delivery, 410 a dead letter, and anything else is
// tried again. A Retry-After makes that later, by an hour at most, and never
// earlier; one that is not understood changes nothing.
func TestFaultAnswers(t *testing.T) {
	l := &ledger.Ledger{Backoff: 100 * time.Millisecond}
	answers := allAnswers()
	end := giveAnswers(t, l, answers)
	for _, a := range answers {
		key := a.endpoint() + "-key"
		dead, waits := a.status == http.StatusGone, a.after.least == anHour && a.status >= 300 && a.status != http.StatusGone
		if end.Dead[key] != dead || end.Waiting[key] != waits {
			t.Errorf("%d with Retry-After %s: it is dead: %v, waits: %v; want %v, %v",
				a.status, a.after.name, end.Dead[key], end.Waiting[key], dead, waits)
		}
	}
	counts := report(t, l, end)
	if want := len(answers) - len(end.Dead) - len(end.Waiting); counts.Delivered != want {
		t.Errorf("%d are delivered, want %d", counts.Delivered, want)
	}
}

// An engine that does not wait, or loses what it gave away, is noticed by that.
func TestFaultAnswersIsNoticed(t *testing.T) {
	for mutation, broken := range map[string]ledger.Invariant{
		ignoresBackoff:  ledger.Haste,
		ackBeforeAnswer: ledger.Loss,
	} {
		for _, status := range []int{http.StatusBadRequest, http.StatusServiceUnavailable} {
			t.Run(mutation+"/"+strconv.Itoa(status), func(t *testing.T) {
				l := &ledger.Ledger{Backoff: 100 * time.Millisecond}
				if mutation == ignoresBackoff {
					l.Backoff = patience / 4 // which a slow disk is not to hide
				}
				var answers []answer
				for _, after := range retryAfters[:2] {
					answers = append(answers, answer{status, after})
				}
				expectBroken(t, l, giveAnswers(t, l, answers, mutation), broken)
			})
		}
	}
}
