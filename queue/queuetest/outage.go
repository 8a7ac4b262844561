// SPDX-License-Identifier: Apache-2.0

package queuetest

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

func outagePromises() []promise {
	since := time.Date(2026, 7, 1, 12, 0, 0, 123456789, time.UTC)
	outage := queue.Outage{
		Since:     since,
		Probes:    7,
		NextProbe: since.Add(30 * time.Second),
		LastError: "connection refused \xff",
		Route:     "route 1",
	}
	return []promise{
		{name: "an endpoint has no outage at first", test: func(f *fixture) {
			f.outageIs(here, nil)
		}},
		{name: "an outage is remembered", test: func(f *fixture) {
			f.ok(f.SetOutage(f.Context(), here, &outage))
			f.outageIs(here, &outage)
			f.outageIs(there, nil)
			f.reopen()
			f.outageIs(here, &outage)
			f.outageIs(there, nil)
		}},
		{name: "an outage replaces the one before", test: func(f *fixture) {
			f.ok(f.SetOutage(f.Context(), here, &outage))
			next := queue.Outage{Since: since, Probes: 8, NextProbe: since.Add(time.Minute)}
			f.ok(f.SetOutage(f.Context(), here, &next))
			f.outageIs(here, &next)
		}},
		{name: "an outage that was removed is gone", test: func(f *fixture) {
			f.ok(f.SetOutage(f.Context(), here, &outage))
			f.ok(f.SetOutage(f.Context(), here, nil))
			f.outageIs(here, nil)
			f.reopen()
			f.outageIs(here, nil)
		}},
		{name: "removing an outage that is not there is no error", test: func(f *fixture) {
			f.ok(f.SetOutage(f.Context(), here, nil))
		}},
		{name: "the outage is the queue's own copy", test: func(f *fixture) {
			mine := outage
			f.ok(f.SetOutage(f.Context(), here, &mine))
			mine.Probes = 100
			f.outageIs(here, &outage)
			got, err := f.Outage(f.Context(), here)
			f.ok(err)
			got.Probes = 100
			f.outageIs(here, &outage)
		}},
		{name: "an endpoint in an outage is listed", test: func(f *fixture) {
			f.ok(f.SetOutage(f.Context(), here, &outage))
			all, err := f.Endpoints(f.Context())
			f.ok(err)
			if _, ok := all[here]; !ok {
				f.Fatalf("endpoints are %v", all)
			}
		}},
		{name: "an outage does not keep the engine from handing out", test: func(f *fixture) {
			f.ok(f.SetOutage(f.Context(), here, &outage))
			f.takeThis(f.give(here))
		}},
	}
}

func (f *fixture) outageIs(endpoint string, want *queue.Outage) {
	f.Helper()
	got, err := f.Outage(f.Context(), endpoint)
	f.ok(err)
	if got == nil || want == nil {
		if got != want {
			f.Fatalf("outage of %q is %v, want %v", endpoint, got, want)
		}
		return
	}
	if !got.Since.Equal(want.Since) || !got.NextProbe.Equal(want.NextProbe) {
		f.Fatalf("outage since %v, next probe at %v, want %v and %v", got.Since, got.NextProbe, want.Since, want.NextProbe)
	}
	a, b := *got, *want
	a.Since, a.NextProbe, b.Since, b.NextProbe = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	if a != b {
		f.Fatalf("outage is %+v, want %+v", a, b)
	}
}
