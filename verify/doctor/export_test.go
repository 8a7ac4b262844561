// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"time"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// Search is Diagnose without the table of senders.
func Search(r *verify.Request, secrets []string, publicURL string, now time.Time) Report {
	return diagnose(r, secrets, publicURL, now, nil, budget)
}

// Limited is Search that hashes no more than so many bytes.
func Limited(r *verify.Request, secrets []string, now time.Time, bytes int64) Report {
	return diagnose(r, secrets, "", now, nil, bytes)
}
