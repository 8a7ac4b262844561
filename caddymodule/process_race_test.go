// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The race detector writes a report between two lines of these.
const raceRule = "==================\n"

// raceAccess is one of the two accesses of a report, with the function that made it.
var raceAccess = regexp.MustCompile(`(?m)^(?:Previous )?(?:atomic )?(?i:read|write) at 0x\w+ by .*\n  (\S+)\(\)$`)

// caddysRaces are those of Caddy 2.11 with itself, as the pairs of functions that meet,
// in the order of the alphabet. Whoever ends the process looks at the admin server
// without its lock, while a load that has begun replaces it.
var caddysRaces = [][2]string{
	{"github.com/caddyserver/caddy/v2.exitProcess.func1", "github.com/caddyserver/caddy/v2.replaceLocalAdminServer"},
}

// withoutCaddysRaces is what a process said without the reports of caddysRaces.
func withoutCaddysRaces(said []byte) []byte {
	parts := bytes.Split(said, []byte(raceRule))
	return bytes.Join(slices.DeleteFunc(parts, func(part []byte) bool {
		if !bytes.HasPrefix(part, []byte("WARNING: DATA RACE\n")) {
			return false
		}
		found := raceAccess.FindAllSubmatch(part, -1)
		if len(found) != 2 {
			return false
		}
		met := []string{string(found[0][1]), string(found[1][1])}
		slices.Sort(met)
		return slices.Contains(caddysRaces, [2]string(met))
	}), []byte(raceRule))
}

// Only a race that Caddy is known to have with itself is left out of what a process
// is judged by.
func TestRacesOfOthersAreKnownByName(t *testing.T) {
	report := func(first, second string) string {
		return raceRule + "WARNING: DATA RACE\n" +
			"Write at 0x00000592c8f0 by goroutine 190:\n  " + first + "()\n      admin.go:429 +0x7a4\n  " +
			caddysRaces[0][1] + "()\n      admin.go:423 +0x539\n\n" +
			"Previous read at 0x00000592c8f0 by goroutine 340:\n  " + second + "()\n      caddy.go:829 +0x29c\n\n" +
			"Goroutine 190 (running) created at:\n  net/http.(*Server).Serve()\n      server.go:3464 +0x889\n" + raceRule
	}
	exits, replaces := caddysRaces[0][0], caddysRaces[0][1]
	const ours = "github.com/caddy-webhook-inbox/inbox/queue.(*Dispatcher).run"
	for _, test := range []struct {
		said  string
		races int
	}{
		{report(replaces, exits), 0},
		{report(exits, replaces), 0},
		{"before\n" + report(replaces, exits) + "after\n" + report(exits, replaces), 0},
		{report(replaces, ours), 1},
		{report(ours, exits), 1},
		{report(replaces, replaces), 1},
		{report(replaces, exits) + report(ours, ours) + report(exits, replaces), 1},
		{strings.Replace(report(replaces, exits), "Previous read", "Previously, a read", 1), 1},
	} {
		left := string(withoutCaddysRaces([]byte(test.said)))
		if races := strings.Count(left, "DATA RACE"); races != test.races {
			t.Errorf("%d races are left, want %d, of:\n%s", races, test.races, test.said)
		}
		for _, word := range []string{"before\n", "after\n"} {
			if strings.Contains(test.said, word) != strings.Contains(left, word) {
				t.Errorf("%q is lost from:\n%s", word, test.said)
			}
		}
	}
}
