// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/caddy-webhook-inbox/inbox/verify/senders"
)

func schemesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "schemes [<name>]",
		Short: "Lists the senders that are known by name, and how they sign",
		Long: `
Lists the senders that a verify takes by name: how they sign, how far the timestamp
may be from now, where the id of a message is, how duplicates are recognized, and
what that was checked against. With a name, all that is known of one.
`,
		Example: `  caddy webhook-inbox schemes
  caddy webhook-inbox schemes github`,
		Args: cobra.MaximumNArgs(1),
	}
	markdown := cmd.Flags().Bool("markdown", false, "Print all of it as a page of Markdown")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		out := cmd.OutOrStdout()
		switch {
		case *markdown:
			return writeSendersPage(out, senders.All())
		case len(args) == 0:
			return printSchemes(out, senders.All())
		}
		row, err := findSender(args[0])
		if err != nil {
			return err
		}
		return printScheme(out, row)
	}
	return cmd
}

func printSchemes(out io.Writer, rows []senders.Sender) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSIGNED BY\tTOLERANCE\tID\tDUPLICATES BY\tCHECKED AGAINST")
	for _, row := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", row.Name, oneLine(describeScheme(row.Scheme)), describeTolerance(row.Scheme), describeID(row), describeDedupe(row), row.Doc.Evidence)
	}
	return w.Flush()
}

func printScheme(out io.Writer, row senders.Sender) error {
	r := secretOf(row.Name, row.Scheme)
	r.indent = "\t"
	fmt.Fprintf(out, "%s\n\n%s", row.Title, r.line(row.Name))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w)
	for _, f := range factsOf(row) {
		fmt.Fprintf(w, "%s:\t%s\n", f.name, f.text)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if inFull, ok := r.scheme(row.Scheme); ok {
		fmt.Fprintf(out, "\nWithout the name, and what else is known of the sender, that verify is:\n\n%s", inFull)
	}
	return nil
}

// A fact is what a page says of a sender.
type fact struct{ name, text string }

// factsOf returns what is known of a sender, in the order in which one asks.
func factsOf(row senders.Sender) []fact {
	var list []fact
	add := func(name, text string) {
		if text != "" {
			list = append(list, fact{name, text})
		}
	}
	add("Secret", row.Doc.Secret)
	add("Signed by", oneLine(describeScheme(row.Scheme))+" ("+describePlace(row.Scheme)+")")
	add("Covers", row.Doc.Covers)
	add("Tolerance", describeTolerance(row.Scheme))
	add("Id", describeID(row))
	add("Duplicates by", describeDedupe(row))
	if row.MaxBody != 0 {
		add("Largest body", fmt.Sprintf("%d MiB", row.MaxBody>>20))
	}
	if row.Respond != 0 {
		add("Answered with", fmt.Sprint(row.Respond))
	}
	add("Tries again", row.Doc.Retries)
	add("Expects", row.Doc.Expects)
	add("Handshake", row.Doc.Handshake)
	add("Note", row.Doc.Note)
	add("Documentation", row.Doc.URL)
	add("Checked against", row.Doc.Evidence.String())
	return list
}
