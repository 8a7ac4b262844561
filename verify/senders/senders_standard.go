// SPDX-License-Identifier: Apache-2.0

package senders

// Senders of Standard Webhooks, under the names webhook-* or svix-*.
var standardSenders = []Sender{
	{
		Name:   "svix",
		Title:  "Svix",
		Scheme: Standard{},
		Doc:    Doc{Evidence: Vector},
	},
}
