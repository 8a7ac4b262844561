// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-webhook-inbox/inbox/verify/doctor"
	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor --request <file> --secret-file <file> [--public-url <url>] [--now <time>]",
		Short: "Says how a captured request is signed",
		Long: `
Takes a request that a sender sent, and the secret, and says which verify accepts
it: that of a sender known by name, if the request tells which, or else one that is
searched for among the usual headers, encodings, keys and templates. What it prints
has verified the request, but for one change if it names one. If nothing does, it
says what comes close, and why that is refused.

The request is a file with the exact bytes, as HTTP/1 has them:

  POST /hooks HTTP/1.1
  Host: hooks.example.com
  X-Signature: 5257a869...

  {"the": "body"}

or the JSON that webhook.site, Pipedream, Hookdeck, ngrok, httpbin, Postman or API
Gateway make of it, or a HAR. If a tool has parsed the body, its bytes are lost:
doctor guesses them, and may not find the signature.

The exit status is 0 if the request is genuine, even if it is too old by now.
`,
		Example: `  caddy webhook-inbox doctor --request captured.txt --secret-file secret.txt
  caddy webhook-inbox doctor --request - --secret-file secret.txt < captured.json
  caddy webhook-inbox doctor --request captured.txt --secret-file old.txt --secret-file new.txt
  caddy webhook-inbox doctor --request captured.txt --secret-file secret.txt --public-url https://hooks.example.com`,
		Args: cobra.NoArgs,
	}
	request := cmd.Flags().StringP("request", "r", "", "File with the request, - for the standard input")
	secretFiles := cmd.Flags().StringArrayP("secret-file", "s", nil, "File with a secret, a token, a password or a public key, - for the standard input; may be repeated")
	publicURL := cmd.Flags().String("public-url", "", "Scheme and host of the URL that the sender was given, such as https://hooks.example.com")
	at := cmd.Flags().String("now", "", "The time to verify at, such as 2026-01-02T15:04:05Z, instead of the present")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *request == "" {
			return errors.New("--request is missing: the path of a file that holds the request, or - for the standard input")
		}
		if err := oneStdin(append([]string{*request}, *secretFiles...)...); err != nil {
			return err
		}
		now := time.Now()
		if *at != "" {
			var err error
			if now, err = time.Parse(time.RFC3339, *at); err != nil {
				return errors.New("--now is no time: expected one such as 2026-01-02T15:04:05Z")
			}
		}
		if err := checkPublicURL(*publicURL); err != nil {
			return err
		}
		secrets, err := readSecrets(cmd, *secretFiles)
		if err != nil {
			return err
		}
		data, err := readInput(cmd, "--request", *request, maxInputFile)
		if err != nil {
			return err
		}
		capture, err := doctor.ParseCapture(data)
		if err != nil {
			return fmt.Errorf("--request: %w", err)
		}
		report := doctor.Diagnose(capture.Request, secrets, *publicURL, now)
		printReport(printable{cmd.OutOrStdout()}, report, capture.Remarks, len(secrets), now)
		if !report.Genuine() {
			return errors.New("nothing verifies the request as it was captured")
		}
		return nil
	}
	return cmd
}

// checkPublicURL refuses what is no scheme and host.
func checkPublicURL(text string) error {
	u, err := url.Parse(text)
	if text != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "") {
		return errors.New("--public-url is no URL: expected scheme and host, such as https://hooks.example.com")
	}
	return nil
}

func printReport(w io.Writer, report doctor.Report, remarks []string, secrets int, now time.Time) {
	for i, f := range report.Findings {
		if i > 0 {
			fmt.Fprint(w, "\nAlso:\n\n")
		}
		printFinding(w, f, secrets, now)
	}
	if len(report.Findings) == 0 {
		fmt.Fprintln(w, "No sender that is known signs like this with the secret, and the search found nothing.")
	}
	for _, remark := range append(remarks, report.Remarks...) {
		fmt.Fprintf(w, "\n%s\n", remark)
	}
}

func printFinding(w io.Writer, f doctor.Finding, secrets int, now time.Time) {
	if f.Altered != "" {
		fmt.Fprintf(w, "Nothing verifies the request as it was captured, but one change makes it right:\n\n%s\n\n", f.Altered)
	}
	which := "the secret is right"
	if secrets > 1 {
		which = fmt.Sprintf("secret %d is right", f.Secret)
	}
	if f.Refused != "" {
		fmt.Fprintf(w, "It was found how it is signed, and %s, but an inbox does not take the secret: %s. Set another one at the sender, and run doctor with that and a new request.\n", which, f.Refused)
		return
	}
	row, known := senders.Find(f.Name)
	r := secretOf(f.Name, f.Scheme)
	r.user, r.publicURL, r.indent = f.User, f.PublicURL, "\t"
	inFull, hasFull := r.scheme(f.Scheme)
	switch {
	case known:
		fmt.Fprintf(w, "This is how %s signs (%s), and %s:\n\n%s", row.Title, row.Name, which, r.line(row.Name))
		if len(f.Like) > 0 {
			fmt.Fprintf(w, "\nThese sign alike: %s.\n", strings.Join(f.Like, ", "))
		}
		if hasFull {
			fmt.Fprintf(w, "\nWithout the sender's name, and what else is known of it, that is:\n\n%s", inFull)
		}
	default:
		fmt.Fprintf(w, "This verifies it, and %s:\n\n%s", which, inFull)
		if len(f.Like) > 0 {
			fmt.Fprintf(w, "\nThese sign alike: %s. If it is one of them, its name with the secret is enough.\n", strings.Join(f.Like, ", "))
		}
	}
	fmt.Fprintf(w, "\n%s\n", verdict(f, now))
	if f.Unsigned {
		fmt.Fprintf(w, "\n%s\n", unsigned(f.Scheme))
	}
	for _, note := range f.Notes {
		fmt.Fprintf(w, "\n%s\n", note)
	}
	if f.PublicURL != "" {
		fmt.Fprintf(w, "\nThe sender signs the URL that it was given, which begins with %s. If Caddy itself is reached by that, public_url can go.\n", f.PublicURL)
	}
	printIDs(w, f, known)
}

// unsigned says what it means that nothing proves the body.
func unsigned(scheme senders.Scheme) string {
	switch scheme.(type) {
	case senders.JWT:
		return "The body is not covered: the token says who sent the request, and as long as it lasts it does for any other."
	case senders.Token, senders.Bearer, senders.Basic, senders.ClientState:
		return "The body is not covered: nothing is signed, and who sees one request can send others."
	default:
		return "The body is not covered by the signature, or not all of it: do not rely on what somebody could have changed."
	}
}

// wrongClock follows a time in the future.
const wrongClock = "A clock is wrong: that of the sender or that of this machine."

// verdict says whether the verifier accepts the request now.
func verdict(f doctor.Finding, now time.Time) string {
	if !f.Until.IsZero() || f.Expired && f.Signed.IsZero() {
		return tokenVerdict(f, now)
	}
	age := roughDuration(now.Sub(f.Signed).Abs()) + " ago"
	future := f.Signed.After(now)
	if future {
		age = roughDuration(f.Signed.Sub(now)) + " in the future"
	}
	switch {
	case f.Signed.IsZero():
		return "There is no time in what is signed: the request is accepted however old it is."
	case f.Expired:
		text := fmt.Sprintf("It was signed %s (%s), which is too far from now by %s: an inbox refuses it as expired, the tolerance being %s. ",
			age, f.Signed.UTC().Format(time.RFC3339), roughDuration(f.Late), shortDuration(f.Tolerance))
		if future {
			return text + wrongClock
		}
		return text + "That is as it should be for an old capture."
	case future && f.Signed.Sub(now) > time.Second:
		return fmt.Sprintf("It was signed %s, within the tolerance of %s: an inbox accepts it. %s", age, shortDuration(f.Tolerance), wrongClock)
	default:
		return fmt.Sprintf("It was signed %s, within the tolerance of %s: an inbox accepts it.", age, shortDuration(f.Tolerance))
	}
}

// tokenVerdict is verdict for a token that holds its times itself.
func tokenVerdict(f doctor.Finding, now time.Time) string {
	until := f.Until.UTC().Format(time.RFC3339)
	switch {
	case !f.Expired:
		return fmt.Sprintf("The token says when it expires: the request is accepted until %s, a moment for clocks that differ included.", until)
	case !f.Until.IsZero() && !now.Before(f.Until):
		return fmt.Sprintf("The token has expired: it was accepted until %s, and an inbox refuses it now. That is as it should be for an old capture.", until)
	default:
		return "The token is of the future, by what it says itself: an inbox refuses it now. " + wrongClock
	}
}

// printIDs says where the id is, by which duplicates are recognized.
func printIDs(w io.Writer, f doctor.Finding, known bool) {
	if len(f.IDs) == 0 {
		return
	}
	if known {
		var places []string
		for _, id := range f.IDs {
			places = append(places, strings.TrimPrefix(messageIDLine(id.ID), "message_id "))
		}
		fmt.Fprintf(w, "\nThe id of its message is in: %s.\n", strings.Join(places, ", "))
		return
	}
	fmt.Fprint(w, "\nThe scheme has no id. By their names, these may be the id of the message, for duplicates to be recognized, if two messages never share it:\n\n")
	for _, id := range f.IDs {
		remark := "not signed: add dedupe 96h on id content, unless two genuine messages can be equal"
		if id.Signed {
			remark = "signed"
		}
		fmt.Fprintf(w, "\t%s  # %s\n", messageIDLine(id.ID), remark)
	}
}

// roughDuration writes a duration for people, in its two largest units.
func roughDuration(d time.Duration) string {
	units := []struct {
		name string
		size time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}}
	var words []string
	for _, unit := range units {
		n := d / unit.size
		d -= n * unit.size
		switch {
		case n == 1:
			words = append(words, "1 "+unit.name)
		case n > 1:
			words = append(words, fmt.Sprintf("%d %ss", n, unit.name))
		}
		if len(words) == 2 {
			break
		}
	}
	if len(words) == 0 {
		return "less than a second"
	}
	return strings.Join(words, " and ")
}
