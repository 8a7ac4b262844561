// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddy-webhook-inbox/inbox/verify"
)

// sendTimeout is how long a test request may take, its answer included.
const sendTimeout = 30 * time.Second

// sendFlags is what the command line of send says.
type sendFlags struct {
	scheme, config, user, publicURL string
	tokenHeader                     string
	secretFiles                     []string
	body, contentType, method, id   string
	fields                          []string
	stale                           time.Duration
	insecure                        bool
}

func sendCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "send --scheme <name> --secret-file <file> [flags] <url>",
		Short: "Sends a test request that is signed like a sender's",
		Long: `
Signs a request in the way of the sender that --scheme names, sends it and says what
the answer is. Without --body it is a small JSON document of its own.

With --scheme hmac it is signed as the verify hmac says that is in the file of
--config, written as in a Caddyfile. With --scheme token, bearer or basic, it has the
secret in the field of --token-header, or in Authorization.

The exit status is 0 if the answer is a 2xx. Redirects are not followed.
`,
		Example: `  caddy webhook-inbox send --scheme github --secret-file secret.txt https://hooks.example.com/github
  caddy webhook-inbox send --scheme stripe --secret-file secret.txt --body event.json https://localhost/stripe --insecure
  caddy webhook-inbox send --scheme slack --secret-file secret.txt --stale 10m https://hooks.example.com/slack
  caddy webhook-inbox send --scheme hmac --config verify.txt https://hooks.example.com/acme`,
		Args: cobra.ExactArgs(1),
	}
	var f sendFlags
	flags := cmd.Flags()
	flags.StringVar(&f.scheme, "scheme", "", "Name of the sender, see caddy webhook-inbox schemes; or hmac, token, bearer, basic")
	flags.StringVar(&f.config, "config", "", "File with a verify hmac, for --scheme hmac")
	flags.StringArrayVarP(&f.secretFiles, "secret-file", "s", nil, "File with the secret, the token or the password, - for the standard input")
	flags.StringVar(&f.tokenHeader, "token-header", "", "Name of the header field with the token, for --scheme token")
	flags.StringVar(&f.user, "user", "", "User, for senders that have one")
	flags.StringVar(&f.publicURL, "public-url", "", "Scheme and host to sign, if the sender was given others than those of the URL")
	flags.StringVar(&f.body, "body", "", "File with the body, - for the standard input")
	flags.StringVar(&f.contentType, "content-type", "application/json", "Content-Type of the body")
	flags.StringArrayVarP(&f.fields, "header", "H", nil, `A further header field, such as "X-Event: test"; may be repeated`)
	flags.StringVarP(&f.method, "method", "X", http.MethodPost, "Method of the request")
	flags.StringVar(&f.id, "id", "", "Id of the message, by default a new one")
	flags.DurationVar(&f.stale, "stale", 0, "How old the signature is to be, such as 10m")
	flags.BoolVar(&f.insecure, "insecure", false, "Do not verify the server's certificate")
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return f.run(cmd, args[0]) }
	return cmd
}

func (f sendFlags) run(cmd *cobra.Command, target string) error {
	if err := oneStdin(append([]string{f.body, f.config}, f.secretFiles...)...); err != nil {
		return err
	}
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return errors.New("the URL to send to is none: expected one such as https://hooks.example.com/github")
	}
	if err := checkPublicURL(f.publicURL); err != nil {
		return err
	}
	row, keys, err := f.sender(cmd)
	if err != nil {
		return err
	}
	if err := f.check(row.Scheme.Needs()); err != nil {
		return err
	}
	m := testMessage{row: row, keys: keys, url: u, id: cmp.Or(f.id, freshID())}
	if m.fields, m.host, err = f.parseFields(row); err != nil {
		return err
	}
	if row.Scheme.Needs().URL {
		m.keys.PublicURL = cmp.Or(f.publicURL, keys.PublicURL, u.Scheme+"://"+cmp.Or(m.host, u.Host))
	}
	r, err := f.request(cmd, m)
	if err != nil {
		return err
	}
	if err := f.sign(r, m); err != nil {
		return err
	}
	hasID := carries(r, m.id)
	if f.id != "" && !hasID {
		return fmt.Errorf("--id has no place: where %s has its id is in the body, which is that of --body, or nowhere", f.scheme)
	}
	if !hasID {
		m.id = ""
	}
	return f.send(cmd, r, m)
}

// send sends r and says what came of it. It prints no value of the header: there
// are tokens in it.
func (f sendFlags) send(cmd *cobra.Command, r *verify.Request, m testMessage) error {
	out := printable{cmd.OutOrStdout()}
	target := m.url.Scheme + "://" + m.url.Host + r.URI // a scheme may add to it
	request, err := http.NewRequestWithContext(cmd.Context(), r.Method, target, bytes.NewReader(r.Body))
	if err != nil {
		return errors.New("the method or a header field cannot be sent")
	}
	request.Header, request.Host = r.Header, m.host
	client := &http.Client{
		Timeout:       sendTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:             http.ProxyFromEnvironment,
			DisableKeepAlives: true,
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: f.insecure},
		},
	}
	start := time.Now()
	response, err := client.Do(request)
	if err != nil {
		var reason *url.Error
		if errors.As(err, &reason) {
			err = reason.Err // without the URL
		}
		return fmt.Errorf("sending: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	fmt.Fprintf(out, "%s %s\n", response.Proto, response.Status)
	for _, name := range []string{"Content-Type", "Location", "Retry-After", "Www-Authenticate"} {
		if value := response.Header.Get(name); value != "" {
			fmt.Fprintf(out, "%s: %s\n", name, value)
		}
	}
	with := ""
	if m.id != "" {
		with = " with the id " + m.id
	}
	fmt.Fprintf(out, "\nSent as %s: %d bytes%s, answered after %d ms.\n", f.scheme, len(r.Body), with, time.Since(start).Milliseconds())
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("the request was not accepted: %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	}
	return nil
}
