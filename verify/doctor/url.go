// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// origins returns what can stand before the URI in the URL that the sender was
// given, the likeliest first: what the user says, what the request says, and the
// same with the other scheme, and with and without the scheme's port.
func origins(r *verify.Request, publicURL string) []string {
	var list []string
	add := func(origin string) {
		if origin != "" && !slices.Contains(list, origin) {
			list = append(list, origin)
		}
	}
	add(strings.TrimRight(publicURL, "/"))
	add(ownOrigin(r))
	if host := r.Header.Get("X-Forwarded-Host"); host != "" && !strings.ContainsAny(host, ", /") {
		add("https://" + host)
	}
	for _, origin := range slices.Clone(list) {
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" {
			continue
		}
		hosts := []string{u.Host, u.Hostname()}
		for _, scheme := range []string{"https", "http"} {
			for _, host := range append(hosts, net.JoinHostPort(u.Hostname(), portOf(scheme))) {
				add(scheme + "://" + host + u.Path)
			}
		}
	}
	return list
}

func portOf(scheme string) string {
	if scheme == "http" {
		return "80"
	}
	return "443"
}

// ownOrigin returns what the request itself says, empty if it names no host.
func ownOrigin(r *verify.Request) string {
	if r.Lookup == nil {
		return ""
	}
	scheme, _ := r.Lookup("http.request.scheme")
	host, ok := r.Lookup("http.request.hostport")
	if !ok || scheme == "" {
		return ""
	}
	return scheme + "://" + host
}
