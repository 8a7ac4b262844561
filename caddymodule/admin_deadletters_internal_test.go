// SPDX-License-Identifier: Apache-2.0

package caddymodule

import "testing"

// Of a query is shown what no application reads as a secret, whether it splits at "&"
// alone or at ";" too. To others what comes after a ";" is a part of the secret.
func TestQueryIsShownWithoutSecrets(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"/token=a":                    "/token=a",
		"/?topic=a;b&page=1;2":        "/?topic=a;b&page=1;2",
		"/?topic=a;token=b;page=c":    "/?topic=a;token=REDACTED",
		"/?token=a;b=c;d&page=1":      "/?token=REDACTED&page=1",
		"/?topic;token=a&page":        "/?topic;token=REDACTED&page",
		"/?page=1;to%6ben=a&x=y":      "/?page=1;to%6ben=REDACTED&x=y",
		"/?page=1;%zz=a&x=y":          "/?page=1;%zz=REDACTED&x=y",
		"/?se=1&sig=a&sv=2":           "/?se=1&sig=REDACTED&sv=2",
		"/?pwd=a&pass=b&jwt=c&code=d": "/?pwd=REDACTED&pass=REDACTED&jwt=REDACTED&code=REDACTED",
	} {
		if got := redactedQuery(uri); got != want {
			t.Errorf("%s is shown as %s, want %s", uri, got, want)
		}
	}
}
