// SPDX-License-Identifier: Apache-2.0

// Package doctor finds out how a captured webhook is signed.
//
// [ParseCapture] reads the request, [Diagnose] says what verifies it, given the
// secret: first every sender of package senders as it is, and then a search
// through the places, encodings, keys and templates that the generic schemes can
// express. What neither finds is tried once more with small changes, each of which
// is a mistake that is often made on the way of a request or of a secret:
//
//	capture ──▶ senders ──▶ search ──▶ the same with one thing changed ──▶ remarks
//	               │           │                     │
//	               ╰───────────┴── findings ─────────╯
//
// Every finding is what a verifier of package verify has accepted; none is a guess.
//
// Everything here is a pure function of a request, secrets and a time. Nothing
// that it returns to be printed holds any of a secret, a signature or a body.
package doctor

import (
	"errors"
	"slices"
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// A Report is what was found.
type Report struct {
	// Findings are the verifiers that accept the request, or would if it were not
	// too old, the best first. Usually they are all of one kind.
	Findings []Finding

	// Remarks are sentences about what is conspicuous, for people.
	Remarks []string
}

// Genuine reports whether the request verifies as it was captured and with a
// secret as it was given, though it may be too old by now.
func (r Report) Genuine() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Altered == "" })
}

// A Finding is a verifier that accepts the request.
type Finding struct {
	// Name is that of the sender, empty if none in the table signs like this, or if
	// nothing in the request tells which of them. Like are others that sign alike.
	Name string
	Like []string

	// Scheme is how the request is signed.
	Scheme senders.Scheme

	// Secret is the number of the secret that it is signed with, from 1. User and
	// PublicURL are what else the configuration has to say.
	Secret    int
	User      string
	PublicURL string

	// Refused is empty if the inbox takes the secret as it was given. Otherwise it is
	// why not, though the sender signs with it.
	Refused string

	// Unsigned says that nothing proves the body.
	Unsigned bool

	// Notes are sentences about the finding, for people.
	Notes []string

	// Expired says that the verifier refuses the request now, because it is too old.
	Expired bool

	// Signed is when the sender signed, zero if the signature does not say so. Late
	// is by how much that is further from now than Tolerance.
	Signed    time.Time
	Late      time.Duration
	Tolerance time.Duration

	// Until is when the inbox refuses the request from, by the expiry that it holds
	// itself; zero if it holds none.
	Until time.Time

	// IDs are where the request has what may be the id of its message, the likeliest
	// first. It is empty if the scheme has an id.
	IDs []ID

	// Altered is empty if the request verifies as it is. Otherwise it says in a
	// sentence what had to be changed first.
	Altered string

	traits verify.Traits
}

// An ID is a place of the request that may hold the id of its message.
type ID struct {
	senders.ID

	// Signed says that nobody can change it.
	Signed bool
}

// Diagnose says what verifies r, which it does not change, with any one of the
// secrets at the time now. PublicURL is the scheme and host of the URL that the
// sender was given; if it is empty they are guessed from r.
func Diagnose(r *verify.Request, secrets []string, publicURL string, now time.Time) Report {
	return diagnose(r, secrets, publicURL, now, senders.All(), budget)
}

// A diagnosis is one look at a request, which may be altered.
type diagnosis struct {
	r       *verify.Request
	secrets []string
	keys    []secretKey
	origins []string
	now     time.Time
	rows    []senders.Sender
	left    *int64
}

// budget is how many bytes are hashed at most, for some seconds' work.
const budget = 4 << 30

func diagnose(r *verify.Request, secrets []string, publicURL string, now time.Time, rows []senders.Sender, left int64) Report {
	d := diagnosis{
		r:       r,
		secrets: secrets,
		keys:    keysOf(secrets),
		origins: origins(r, publicURL),
		now:     now,
		rows:    rows,
		left:    &left,
	}
	findings := d.findings()
	if len(findings) == 0 {
		findings = d.altered()
	}
	for i := range findings {
		findings[i].IDs = d.idsFor(findings[i])
		findings[i].Until = d.until(findings[i].Scheme)
	}
	report := Report{Findings: findings, Remarks: d.remarks(findings)}
	if left <= 0 {
		report.Remarks = append(report.Remarks, "The search ended early, because the body is large: try it with a request that has a small one.")
	}
	return report
}

// findings returns the verifiers that accept d.r as it is.
func (d diagnosis) findings() []Finding {
	if findings := d.senders(); len(findings) > 0 {
		return findings
	}
	var findings []Finding
	s := search{r: d.r, keys: d.keys, origins: d.origins, left: d.left}
	for _, h := range s.hmacs() {
		if f, ok := h.finding(d); ok {
			findings = append(findings, f)
		}
	}
	findings = append(findings, d.publicKeys(s)...)
	findings = append(findings, d.jwts()...)
	findings = append(findings, d.tokens()...)
	return findings[:min(len(findings), maxFindings)]
}

// maxFindings is how many are returned. There is more than one only where a header
// names the same text twice, or a sender signs in an old and a new way.
const maxFindings = 3

// longTolerance is as good as none: it tells what is too old from what is forged.
const longTolerance = 100 * 365 * 24 * time.Hour

// try verifies the request, and finds out how old it is.
func (d diagnosis) try(scheme senders.Scheme, keys senders.Keys) (Finding, bool) {
	f := Finding{Scheme: scheme, User: keys.User, PublicURL: keys.PublicURL}
	f.Tolerance = scheme.Needs().Tolerance
	long := keys
	if _, isJWT := scheme.(senders.JWT); isJWT || f.Tolerance != 0 {
		long.Tolerance = longTolerance
	}
	current, err := scheme.Verifier(keys)
	if err != nil {
		return Finding{}, false
	}
	v, err := scheme.Verifier(long)
	if err != nil || *d.left <= 0 {
		return Finding{}, false
	}
	*d.left -= int64(len(d.r.Body))
	claims, err := v.Verify(d.r, d.now)
	if err != nil {
		return Finding{}, false
	}
	f.traits = v.Traits()
	f.Unsigned = f.traits.Covers == nil || !f.traits.Covers("body")
	f.Signed = claims.Timestamp
	if f.Tolerance != 0 && !f.Signed.IsZero() {
		f.Late = max(0, d.now.Sub(f.Signed).Abs()-f.Tolerance)
	}
	_, err = current.Verify(d.r, d.now)
	f.Expired = errors.Is(err, verify.ErrExpired)
	if err != nil && !f.Expired {
		return Finding{}, false
	}
	return f, true
}
