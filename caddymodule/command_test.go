// SPDX-License-Identifier: Apache-2.0

package caddymodule_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/spf13/cobra"
)

// run calls caddy webhook-inbox in this process and returns what it printed and its
// error, which would make the exit status 1.
func run(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	registered, ok := caddycmd.Commands()["webhook-inbox"]
	if !ok {
		t.Fatal("the command webhook-inbox is not registered")
	}
	cmd := &cobra.Command{Use: "webhook-inbox", SilenceUsage: true}
	registered.CobraFunc(cmd)
	var out bytes.Buffer
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// file writes a file and returns its path.
func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// contains checks that all of the texts are in what was printed.
func contains(t *testing.T, out string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("%q is not in:\n%s", text, out)
		}
	}
}

// The commands of the real Caddy: what goes to which output, and the exit status.
func TestCommandsInAProcess(t *testing.T) {
	t.Parallel()
	secret := file(t, "secret", "It's a Secret to Everybody\n")
	// GitHub's own example.
	const request = "POST /github HTTP/1.1\nHost: hooks.example.com\nX-GitHub-Event: push\n" +
		"X-Hub-Signature-256: sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\n\nHello, World!"
	for name, c := range map[string]struct {
		args           []string
		stdin          string
		status         int
		stdout, stderr string
	}{
		"genuine":      {[]string{"doctor", "--request", "-", "--secret-file", secret}, request, 0, "verify github {env.GITHUB_SECRET}", ""},
		"not genuine":  {[]string{"doctor", "--request", "-", "--secret-file", secret}, request + "!", 1, "X-Hub-Signature-256 is there", "nothing verifies the request"},
		"misspelt":     {[]string{"schemes", "githb"}, "", 1, "", "did you mean github"},
		"no command":   {[]string{"bogus"}, "", 1, "", "unknown command \"bogus\""},
		"its own help": {nil, "", 0, "doctor", ""},
		"help":         {[]string{"doctor", "--help"}, "", 0, "--secret-file", ""},
		"not a secret": {[]string{"send", "--scheme", "github", "https://127.0.0.1:1/"}, "", 1, "", "--secret-file is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), asCommand+"="+strings.Join(append([]string{"webhook-inbox"}, c.args...), "\n"), "HOME="+t.TempDir())
			cmd.Stdin = strings.NewReader(c.stdin)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if status := cmd.ProcessState.ExitCode(); status != c.status {
				t.Errorf("exit status %d, want %d", status, c.status)
			}
			contains(t, stdout.String(), c.stdout)
			contains(t, stderr.String(), c.stderr)
			if all := stdout.String() + stderr.String(); strings.Contains(all, "Everybody") {
				t.Errorf("the secret is in the output:\n%s", all)
			}
		})
	}
}

func TestCommandErrors(t *testing.T) {
	t.Parallel()
	secret, request := file(t, "secret", "a secret"), file(t, "request", "POST / HTTP/1.1\nHost: a\n\n{}")
	empty := file(t, "empty", "\n")
	wide := file(t, "wide", "\xff\xfea\x00 \x00s\x00")
	const hmac = "verify hmac {\n\tsecret s\n\tsignature header X-Acme-Signature\n}\n"
	config := file(t, "config", hmac)
	two := file(t, "two", hmac+hmac)
	unset := file(t, "unset", strings.Replace(hmac, "secret s", "secret {env.COMMAND_NOT_SET}", 1))
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"doctor without a request":    {[]string{"doctor", "-s", secret}, "--request is missing"},
		"doctor without a secret":     {[]string{"doctor", "-r", request}, "--secret-file is missing"},
		"empty secret":                {[]string{"doctor", "-r", request, "-s", secret, "-s", empty}, "secret 2 is empty"},
		"no such file":                {[]string{"doctor", "-r", request + "x", "-s", secret}, "no such file"},
		"both from standard input":    {[]string{"doctor", "-r", "-", "-s", "-"}, "only one file"},
		"bad time":                    {[]string{"doctor", "-r", request, "-s", secret, "--now", "yesterday"}, "--now is no time"},
		"bad public URL":              {[]string{"doctor", "-r", request, "-s", secret, "--public-url", "hooks.example.com"}, "--public-url is no URL"},
		"no request in it":            {[]string{"doctor", "-r", empty, "-s", secret}, "the capture is empty"},
		"an argument too many":        {[]string{"doctor", "a secret"}, "unknown command"},
		"send without a scheme":       {[]string{"send", "https://a/"}, "--scheme is missing"},
		"send, unknown scheme":        {[]string{"send", "--scheme", "strip", "-s", secret, "https://a/"}, "did you mean stripe"},
		"send without a secret":       {[]string{"send", "--scheme", "stripe", "https://a/"}, "--secret-file is missing"},
		"send without a user":         {[]string{"send", "--scheme", "postmark", "-s", secret, "https://a/"}, "--user is missing"},
		"send to no URL":              {[]string{"send", "--scheme", "stripe", "-s", secret, "a:8080"}, "the URL to send to is none"},
		"send, bad header field":      {[]string{"send", "--scheme", "stripe", "-s", secret, "-H", "a", "https://a/"}, "--header 1 is no header field"},
		"send, bad secret":            {[]string{"send", "--scheme", "svix", "-s", secret, "https://a/"}, "secret 1"},
		"send, private key":           {[]string{"send", "--scheme", "discord", "-s", secret, "https://a/"}, "private key that nobody else has"},
		"send hmac without a config":  {[]string{"send", "--scheme", "hmac", "-s", secret, "https://a/"}, "--config is missing"},
		"send, config of another":     {[]string{"send", "--scheme", "stripe", "--config", request, "https://a/"}, "--config is for --scheme hmac"},
		"send, config that is none":   {[]string{"send", "--scheme", "hmac", "--config", request, "https://a/"}, "verify hmac {"},
		"secret in UTF-16":            {[]string{"doctor", "-r", request, "-s", wide}, "secret 1 is in UTF-16"},
		"send, config and secret -":   {[]string{"send", "--scheme", "hmac", "--config", "-", "-s", "-", "https://a/"}, "only one file"},
		"send, two in the config":     {[]string{"send", "--scheme", "hmac", "--config", two, "https://a/"}, "--config: expected one verify hmac"},
		"send, config without secret": {[]string{"send", "--scheme", "hmac", "--config", unset, "https://a/"}, "--config: secret 1"},
		"send, user of no use":        {[]string{"send", "--scheme", "github", "-s", secret, "--user", "a", "https://a/"}, "--user has no effect"},
		"send, user of no use, hmac":  {[]string{"send", "--scheme", "hmac", "--config", config, "--user", "a", "https://a/"}, "--user has no effect"},
		"send, stale without a time":  {[]string{"send", "--scheme", "github", "-s", secret, "--stale", "1m", "https://a/"}, "--stale has no effect"},
		"send, public URL of no use":  {[]string{"send", "--scheme", "github", "-s", secret, "--public-url", "https://a", "https://a/"}, "--public-url has no effect"},
		"send, length":                {[]string{"send", "--scheme", "github", "-s", secret, "-H", "content-length: 1", "https://a/"}, "Content-Length follows from the body"},
		"send, signature":             {[]string{"send", "--scheme", "github", "-s", secret, "-H", "x-hub-signature-256: 1", "https://a/"}, "X-Hub-Signature-256 is set by github itself"},
		"send, id as a field":         {[]string{"send", "--scheme", "github", "-s", secret, "-H", "x-github-delivery: 1", "https://a/"}, "set it with --id"},
		"send, id without a place":    {[]string{"send", "--scheme", "stripe", "-s", secret, "--body", request, "--id", "a", "https://a/"}, "--id has no place"},
		"send, token without a field": {[]string{"send", "--scheme", "token", "-s", secret, "https://a/"}, "--token-header is missing"},
		"send, field without a token": {[]string{"send", "--scheme", "github", "-s", secret, "--token-header", "A", "https://a/"}, "--token-header is for"},
		"send, basic without a user":  {[]string{"send", "--scheme", "basic", "-s", secret, "https://a/"}, "--user is missing"},
		"send as a JSON Web Token":    {[]string{"send", "--scheme", "jwt", "-s", secret, "https://a/"}, "--scheme jwt cannot be sent"},
		"unknown sender":              {[]string{"schemes", "qqqqqq"}, `no sender is called "qqqqqq"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := run(t, "", c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want %q; output:\n%s", err, c.want, out)
			}
			if strings.Contains(out+err.Error(), "a secret") && name != "an argument too many" {
				t.Errorf("the secret is in: %v\n%s", err, out)
			}
		})
	}
}
