// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"io"
	"strings"

	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

//go:generate go test -run TestSendersPage . -update

const sendersIntroduction = `<!-- Made from the table in verify/senders: go generate ./caddymodule -->

# Senders

A ` + "`verify`" + ` takes each of these by its name, with the secret:

` + "```caddyfile" + `
webhook_inbox /github github {
	verify github {env.GITHUB_SECRET}
	deliver app:8080
}
` + "```" + `

How a sender signs, where the id of a message is and how its duplicates are
recognized comes with the name. What the endpoint itself says with ` + "`message_id`" + `,
` + "`dedupe`" + `, ` + "`max_body`" + ` or ` + "`respond`" + ` counts more. The tolerance is how far the timestamp
may be from now, where one is signed. The answer is 202 where nothing is said of it.

"Checked against" says what stands behind a row: a signature that the sender
published, its documentation or source, or neither yet. Try one that is unconfirmed
before you rely on it. Whatever a sender does today,
` + "`caddy webhook-inbox doctor`" + ` finds out from one request and the secret.

`

// writeSendersPage writes caddyfiles/senders/README.md.
func writeSendersPage(out io.Writer, rows []senders.Sender) error {
	var b strings.Builder
	b.WriteString(sendersIntroduction)
	b.WriteString("| `verify` | Sender | In | Signed by | Tolerance | Duplicates by | Answer | Checked against |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|\n")
	for _, row := range rows {
		answer := ""
		if row.Respond != 0 {
			answer = fmt.Sprint(row.Respond)
		}
		cells := []string{
			fmt.Sprintf("[`%s`](#%s)", row.Name, row.Name),
			cell(row.Title),
			cell(describePlace(row.Scheme)),
			cell(oneLine(describeScheme(row.Scheme))),
			describeTolerance(row.Scheme),
			cell(describeDedupe(row)),
			answer,
			row.Doc.Evidence.String(),
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | "))
	}
	for _, row := range rows {
		writeSenderSection(&b, row)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func writeSenderSection(b *strings.Builder, row senders.Sender) {
	fmt.Fprintf(b, "\n## %s\n\n%s.\n\n", row.Name, row.Title)
	r := secretOf(row.Name, row.Scheme)
	fmt.Fprintf(b, "```caddyfile\n%s```\n\n", r.line(row.Name))
	for _, f := range factsOf(row) {
		text := f.text
		switch f.name {
		case "Documentation":
			text = "<" + text + ">"
		case "Signed by", "Id", "Duplicates by":
			text = plain(text)
		}
		fmt.Fprintf(b, "- **%s**: %s\n", f.name, text)
	}
	inFull, ok := r.scheme(row.Scheme)
	if _, isHMAC := row.Scheme.(senders.HMAC); ok && isHMAC {
		fmt.Fprintf(b, "\nThe same in full, to start from for a sender that is alike:\n\n```caddyfile\n%s```\n", inFull)
	}
}

// oneLine writes a line break that is signed as \n.
func oneLine(text string) string { return strings.ReplaceAll(text, "\n", `\n`) }

// plain keeps Markdown from reading text as markup.
func plain(text string) string {
	return strings.NewReplacer("_", `\_`, "*", `\*`, "<", "&lt;").Replace(text)
}

// cell is plain, in a table.
func cell(text string) string { return strings.ReplaceAll(plain(text), "|", `\|`) }
