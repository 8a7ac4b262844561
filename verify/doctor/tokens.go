// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

// tokens returns the places of the header where a secret stands as it is.
func (d diagnosis) tokens() []Finding {
	var findings []Finding
	for i, secret := range d.secrets {
		add := func(scheme senders.Scheme, user string) {
			if f, ok := d.try(scheme, senders.Keys{Secrets: []string{secret}, User: user}); ok {
				f.Secret = i + 1
				findings = append(findings, f)
			}
		}
		add(senders.Bearer{}, "")
		if user, password := basicCredentials(d.r); password == secret {
			add(senders.Basic{}, user)
		}
		for _, name := range slices.Sorted(maps.Keys(d.r.Header)) {
			if d.r.Header.Get(name) == secret {
				add(senders.Token{Header: name}, "")
			}
		}
	}
	return findings
}

// elsewhere says where a secret stands in the request that no scheme reads.
func (d diagnosis) elsewhere() []string {
	var remarks []string
	_, query, _ := strings.Cut(d.r.URI, "?")
	parameters, _ := url.ParseQuery(query)
	path, _, _ := strings.Cut(d.r.URI, "?")
	for i, secret := range d.secrets {
		if secret == "" {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(parameters)) {
			if slices.Contains(parameters[name], secret) {
				remarks = append(remarks, fmt.Sprintf("Secret %d is the value of %q in the query of the URL. That is no scheme: match it with \"query\" in the Caddyfile, and keep the URL out of logs.", i+1, name))
			}
		}
		if slices.Contains(strings.Split(path, "/"), url.PathEscape(secret)) {
			remarks = append(remarks, fmt.Sprintf("Secret %d is a part of the URL's path. That is no scheme: match it with \"path\" in the Caddyfile, and keep the URL out of logs.", i+1))
		}
		for _, v := range jsonValues(d.r.Body) {
			if v.text == secret {
				remarks = append(remarks, fmt.Sprintf("Secret %d is the value of %q in the body, which no scheme but microsoft_graph reads.", i+1, v.path))
			}
		}
		if name, rest, ok := strings.Cut(d.r.Header.Get("Authorization"), " "); ok && rest == secret && !strings.EqualFold(name, "Bearer") {
			remarks = append(remarks, fmt.Sprintf("Secret %d stands in Authorization after a word that is not Bearer: take the whole value, with that word, for the secret of: verify token Authorization {env.SECRET}", i+1))
		}
	}
	return remarks
}
