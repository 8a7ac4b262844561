// SPDX-License-Identifier: Apache-2.0

package senders

import (
	"slices"
	"strings"
	"testing"
)

func TestNearestOffersWhatAMisspeltNameMayStandFor(t *testing.T) {
	t.Parallel()
	names := strings.Fields("adyen adyen_platform basic bearer bitbucket discord docusign gitea github gitlab gitlab_signing " +
		"hmac hubspot hubspot_v1 hubspot_v2 jira linear meta microsoft_graph none paddle shopify slack standard_webhooks stripe svix token zoom")
	for name, want := range map[string]string{
		"github":            "github gitlab",
		"gihub":             "github",
		"facebook":          "meta",
		"ms_graph":          "microsoft_graph",
		"confluence":        "jira",
		"gtihub":            "github",
		"githubb":           "github",
		"GitHub":            "github gitlab",
		"git":               "gitea github gitlab gitlab_signing",
		"gitlabs":           "gitlab gitlab_signing",
		"github_webhooks":   "github",
		"hub":               "hubspot github hubspot_v1 hubspot_v2",
		"hubspot-v1":        "hubspot_v1 hubspot_v2 hubspot",
		"stirpe":            "stripe",
		"svx":               "svix",
		"standardwebhooks":  "standard_webhooks",
		"standard-webhooks": "standard_webhooks",
		"standard":          "standard_webhooks",
		"msgraph":           "",
		"graph":             "microsoft_graph",
		"zoon":              "zoom",
		"hmca":              "hmac",
		"xyz":               "",
		"x":                 "",
		"":                  "",
		"-":                 "",
		"acme":              "",
	} {
		got := Nearest(name, names)
		if strings.Join(got, " ") != want {
			t.Errorf("%q: got %v, want [%s]", name, got, want)
		}
	}
	for _, name := range names {
		if got := Nearest(name, names); len(got) == 0 || got[0] != name {
			t.Errorf("nearest to %s is %v", name, got)
		}
	}
}

func TestNearestOffersAtMostFiveAndEachOnce(t *testing.T) {
	t.Parallel()
	got := Nearest("hook", []string{"hook6", "hook3", "hook2", "hook1", "hook1", "hook5", "hook4"})
	if !slices.Equal(got, []string{"hook1", "hook2", "hook3", "hook4", "hook5"}) {
		t.Errorf("got %v", got)
	}
	if got := Nearest(strings.Repeat("x", 1<<20), []string{"xx"}); len(got) > 5 {
		t.Errorf("got %v", got)
	}
	if Nearest("github", nil) != nil {
		t.Error("there is something near in nothing")
	}
}
