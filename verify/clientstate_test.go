// SPDX-License-Identifier: Apache-2.0

package verify_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

func TestEveryNotificationHasAClientState(t *testing.T) {
	t.Parallel()
	v, err := verify.NewClientState([]string{"next state", "state é"})
	if err != nil {
		t.Fatal(err)
	}
	const good = `{"id":"1","clientState":"state é"}`
	many := func(n int) string { return strings.TrimSuffix(strings.Repeat(good+",", n), ",") }
	for body, want := range map[string]string{
		`{"value":[` + good + `]}`:                                             "ok",
		`{"value":[` + many(2) + `]}`:                                          "ok",
		`{"value":[` + many(10_000) + `]}`:                                     "ok",
		`{"value":[` + many(10_001) + `]}`:                                     "malformed",
		`{"value":[` + good + `,{"clientState":"next state"}]}`:                "ok",
		`{"value":[{"clientState":"state \u00e9","lifecycleEvent":"missed"}]}`: "ok",
		`{"value":[` + good + `,{"clientState":"another state"}]}`:             "mismatch",
		`{"value":[{"clientState":"another state"},` + good + `]}`:             "mismatch",
		`{"value":[` + good + `,{"id":"2"}]}`:                                  "missing",
		`{"value":[` + good + `,{"clientState":""}]}`:                          "missing",
		`{"value":[` + good + `,{"clientState":null}]}`:                        "missing",
		`{"value":[` + good + `,{"clientState":["state é"]}]}`:                 "malformed",
		`{"value":[` + good + `,null]}`:                                        "malformed",
		`{"value":[` + good + `,"state é"]}`:                                   "malformed",
		`{"value":[{"clientState":"state é","clientState":"x"}]}`:              "malformed",
		`{"value":[{"clientState":"x","clientState":"state é"}]}`:              "malformed",
		`{"value":[{"clientState":"state é","ClientState":"x"}]}`:              "malformed",
		`{"value":[{"clientstate":"state é"}]}`:                                "malformed",
		`{"value":[` + good + `],"value":[{}]}`:                                "malformed",
		`{"value":[` + good + `],"Value":[{}]}`:                                "malformed",
		`{"value":[{"clientState":"state "}]}`:                                 "mismatch",
		`{"value":[{"clientState":"state é "}]}`:                               "mismatch",
		`{"value":[{"clientState":"State é"}]}`:                                "mismatch",
		`{"value":[{"clientState":"state \ud800"}]}`:                           "malformed",
		`{"value":[]}`:              "missing",
		`{"value":null}`:            "malformed",
		`{"value":` + good + `}`:    "malformed",
		`{"clientState":"state é"}`: "missing",
		`{}`:                        "missing",
		`[]`:                        "malformed",
		``:                          "malformed",
		`{"value":[` + good + `]`:   "malformed",
	} {
		r := newRequest(http.MethodPost, "/hooks", []byte(body))
		claims := expect(t, v, r, want)
		if t.Failed() {
			t.Fatalf("with %.100s", body)
		}
		if want == "ok" && claims.ID != "" {
			t.Errorf("%s has the id %q, which is not signed", body, claims.ID)
		}
	}
	expect(t, v, newRequest(http.MethodPost, "/hooks?validationToken=state+%C3%A9", nil), "malformed")
	if v.Traits().Covers != nil {
		t.Error("something is signed")
	}
}

func TestClientStatesTakeNoConfigurationThatLetsEveryoneIn(t *testing.T) {
	t.Parallel()
	for _, states := range [][]string{nil, {""}, {"state", " "}, {"state\n"}} {
		if _, err := verify.NewClientState(states); err == nil {
			t.Errorf("%q are taken", states)
		}
	}
}
