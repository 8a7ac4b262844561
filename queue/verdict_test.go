// SPDX-License-Identifier: Apache-2.0

package queue

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestEveryAnswerHasItsVerdict(t *testing.T) {
	t.Parallel()
	failed := errors.New("connection reset")
	type row struct {
		result                   Result
		well, inOutage, stopping AttemptOutcome
		blames                   bool
	}
	delivered := func(r Result) row { return row{r, Delivered, Delivered, Delivered, false} }
	retried := func(r Result) row { return row{r, Retried, Held, Interrupted, true} }
	final := func(r Result) row { return row{r, Buried, Buried, Interrupted, false} }
	throttled := func(r Result) row { return row{r, Throttled, Held, Interrupted, false} }

	rows := []row{
		delivered(Result{Status: 200, Err: errors.New("the answer is too long")}),
		retried(Result{}),
		retried(Result{Err: failed}),
		retried(Result{Err: failed, NoConnection: true}),
		retried(Result{Err: &PanicError{Value: "x"}}),
		final(Result{Status: 410}),
		throttled(Result{Status: 429}),
		throttled(Result{Status: 429, RetryAfter: time.Minute}),
	}
	for _, status := range []int{200, 201, 202, 204, 206, 299} {
		rows = append(rows, delivered(Result{Status: status}))
	}
	for _, status := range []int{
		100, 199, 300, 301, 302, 304, 307, 308, 399,
		400, 401, 403, 404, 405, 408, 409, 411, 413, 422, 425, 451, 499,
		500, 501, 502, 503, 504, 599, 600, 999,
	} {
		rows = append(rows, retried(Result{Status: status}))
	}

	p := DefaultPolicy()
	before := History{Attempts: 3, Failures: 2, Delayed: time.Minute, LastError: "old"}
	for _, row := range rows {
		for c, want := range map[circumstances]AttemptOutcome{ordinary: row.well, inOutage: row.inOutage, stopping: row.stopping} {
			t.Run(fmt.Sprint(row.result, "/", c), func(t *testing.T) {
				t.Parallel()
				v := judge(p, row.result, before, c)
				if v.outcome != want {
					t.Fatalf("outcome is %s, want %s", v.outcome, want)
				}
				checkVerdict(t, v, before, row.result)
			})
		}
		if got := p.blames(row.result); got != row.blames {
			t.Errorf("%v speaks against the endpoint: %v, want %v", row.result, got, row.blames)
		}
	}
}

// checkVerdict checks what an outcome means for delay and history.
func checkVerdict(t *testing.T, v verdict, before History, r Result) {
	t.Helper()
	want := before
	want.Attempts++
	want.LastError = r.text()
	switch v.outcome {
	case Delivered:
		want.LastError = before.LastError
	case Retried:
		want.Failures++
		want.Delayed += v.delay
		if v.delay < 2*time.Second || v.delay > 4*time.Second {
			t.Errorf("the delay after the third failure is %v", v.delay)
		}
	case Buried:
		want.Failures++
	case Throttled:
		if v.delay < 4*time.Second {
			t.Errorf("the delay after the fourth attempt is %v", v.delay)
		}
	}
	if v.history != want {
		t.Errorf("history is %+v, want %+v", v.history, want)
	}
	if waits := v.outcome == Retried || v.outcome == Throttled; waits != (v.delay > 0) {
		t.Errorf("the delay is %v", v.delay)
	}
	if (v.outcome == Buried) != (v.reason != "") {
		t.Errorf("the reason is %q", v.reason)
	}
}

func TestAClassOfStatusesIsFinalButFor429(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		giveUpOn []int
		final    []int
		not      []int
	}{
		{nil, nil, []int{0, 301, 404, 410, 429, 500}},
		{[]int{404, 410}, []int{404, 410}, []int{0, 400, 500}},
		{[]int{4}, []int{400, 404, 410, 499}, []int{0, 399, 429, 500}},
		{[]int{4, 429}, []int{400, 429}, []int{500}},
		{[]int{3, 5}, []int{300, 399, 500, 599}, []int{0, 404, 429}},
	} {
		p := Policy{GiveUpOn: test.giveUpOn}
		for _, status := range test.final {
			if !p.final(status) {
				t.Errorf("%v: %d is not final", test.giveUpOn, status)
			}
		}
		for _, status := range test.not {
			if p.final(status) {
				t.Errorf("%v: %d is final", test.giveUpOn, status)
			}
		}
	}
}

func TestAMessageHasEnoughAfter(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name        string
		giveUpAfter time.Duration
		maxAttempts int
		history     History
		want        AttemptOutcome
	}{
		{"no limits", 0, 0, History{Attempts: 1e6, Failures: 1e6, Delayed: 1e6 * time.Hour}, Retried},
		{"the last delay before the limit", 72 * time.Hour, 0, History{Failures: 500, Delayed: 72*time.Hour - 1}, Retried},
		{"the time", 72 * time.Hour, 0, History{Failures: 500, Delayed: 72 * time.Hour}, Buried},
		{"many attempts in an outage", 72 * time.Hour, 3, History{Attempts: 1000}, Retried},
		{"one failure less than the limit", 0, 3, History{Failures: 1}, Retried},
		{"the failures", 0, 3, History{Failures: 2}, Buried},
		{"one attempt", 0, 1, History{}, Buried},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := DefaultPolicy()
			p.GiveUpAfter, p.MaxAttempts = test.giveUpAfter, test.maxAttempts
			v := judge(p, Result{Status: 500}, test.history, ordinary)
			if v.outcome != test.want {
				t.Errorf("outcome is %s, want %s", v.outcome, test.want)
			}
			if test.want == Buried && !strings.HasSuffix(v.reason, ": status 500") {
				t.Errorf("the reason is %q", v.reason)
			}
		})
	}
}

func TestTheTextOfAnErrorIsBounded(t *testing.T) {
	t.Parallel()
	text := Result{Err: errors.New(strings.Repeat("é", 10_000))}.text()
	if len(text) > 300 || !strings.HasPrefix(text, "éé") || strings.ToValidUTF8(text, "") != text {
		t.Errorf("the text has %d bytes: %q", len(text), text)
	}
}

func TestTheDefaultPolicyIsValid(t *testing.T) {
	t.Parallel()
	if err := DefaultPolicy().Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Policy){
		"concurrency is 0":                 func(p *Policy) { p.Concurrency = 0 },
		"attempt timeout is 0s":            func(p *Policy) { p.AttemptTimeout = 0 },
		"first backoff is -1s":             func(p *Policy) { p.Backoff.First = -time.Second },
		"longest backoff is 1ns":           func(p *Policy) { p.Backoff.Longest = 1 },
		"giving up after -1s":              func(p *Policy) { p.GiveUpAfter = -time.Second },
		"max attempts is -1":               func(p *Policy) { p.MaxAttempts = -1 },
		"giving up on 200":                 func(p *Policy) { p.GiveUpOn = []int{404, 200} },
		"giving up on 2,":                  func(p *Policy) { p.GiveUpOn = []int{2} },
		"giving up on 600":                 func(p *Policy) { p.GiveUpOn = []int{600} },
		"retaining for -1s":                func(p *Policy) { p.Retain = -time.Second },
		"retaining dead letters for 0s":    func(p *Policy) { p.RetainDead = 0 },
		"attempt timeout is -1s":           func(p *Policy) { p.Concurrency, p.AttemptTimeout = -1, -time.Second },
		"longest backoff is 0s, must not ": func(p *Policy) { p.Backoff.Longest = 0 },
	} {
		p := DefaultPolicy()
		change(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want it to say %q", err, want)
		}
	}
	if err := (Policy{}).Validate(); err == nil {
		t.Error("the zero policy is valid")
	}
}

func TestBackoffDoublesUpToTheLongestAndHalfIsRandom(t *testing.T) {
	t.Parallel()
	b := Backoff{First: time.Second, Longest: 10 * time.Minute}
	for failure, full := range map[int]time.Duration{
		-1: time.Second, 0: time.Second,
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 10: 512 * time.Second,
		11: 10 * time.Minute, 64: 10 * time.Minute, 1 << 40: 10 * time.Minute,
	} {
		least, most := time.Duration(1<<62), time.Duration(0)
		for range 2000 {
			d := b.Delay(failure)
			least, most = min(least, d), max(most, d)
		}
		if least < full/2 || most > full {
			t.Errorf("delays after failure %d are %v to %v, want %v to %v", failure, least, most, full/2, full)
		}
		if most-least < full*4/10 {
			t.Errorf("delays after failure %d are %v to %v: too much alike", failure, least, most)
		}
	}
}

func TestBackoffDoesNotOverflow(t *testing.T) {
	t.Parallel()
	const longest = time.Duration(1<<63 - 1)
	for _, b := range []Backoff{{1, longest}, {longest, longest}, {longest - 1, longest}, {1, 1}, {time.Hour, time.Hour}} {
		for failure := range 200 {
			if d := b.Delay(failure); d < b.First/2 || d > b.Longest {
				t.Fatalf("the delay of %v after failure %d is %v", b, failure, d)
			}
		}
	}
}

func TestProbesComeAfter(t *testing.T) {
	t.Parallel()
	for failed, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
		if got := probeDelay(failed); got != want*time.Second {
			t.Errorf("after %d failed probes: %v, want %v", failed, got, want*time.Second)
		}
	}
}

func TestOnlySoManyProbesAreRemembered(t *testing.T) {
	t.Parallel()
	h := health{outage: &Outage{}}
	for n := range 100 {
		h.probing(ID{byte(n)})
	}
	except := h.pick().Except
	if len(except) != lately || except[0] != (ID{84}) || except[lately-1] != (ID{99}) {
		t.Errorf("%d are remembered: %v", len(except), except)
	}
	h.probing(ID{200})
	if except[lately-1] != (ID{99}) || except[0] != (ID{84}) {
		t.Error("a pick that was given away changed")
	}
}

func TestPaceKeepsItsLimits(t *testing.T) {
	t.Parallel()
	now := time.Now()
	p := newPace(10)
	p.restart()
	for range 3 {
		p.delivered()
	}
	if p.window != 4 {
		t.Errorf("the window is %d after 1 and 2 deliveries, want 4", p.window)
	}
	p.setLimit(3)
	if p.window != 3 {
		t.Errorf("the window is %d with a limit of 3", p.window)
	}
	p.setLimit(20)
	if p.window != 20 {
		t.Errorf("the window is %d with a limit of 20, want it to follow", p.window)
	}
	for n := range 100 {
		p.throttled(now.Add(time.Duration(2*n+1)), 0, Backoff{time.Second, time.Minute}, now.Add(time.Duration(2*n)))
	}
	if p.window != 1 {
		t.Errorf("the window is %d after many 429", p.window)
	}
	for range 10_000 {
		p.delivered()
	}
	if p.window != 20 {
		t.Errorf("the window is %d after many deliveries", p.window)
	}
}

func ExamplePolicy_Validate() {
	p := DefaultPolicy()
	p.Concurrency = 0
	p.GiveUpOn = []int{4, 200}
	fmt.Println(p.Validate())
	// Output:
	// concurrency is 0, must be at least 1
	// giving up on 200, must be a status of 300 to 599 or 3, 4 or 5 for all that begin so
}
