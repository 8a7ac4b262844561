// SPDX-License-Identifier: Apache-2.0

// Command caddy is Caddy with the webhook inbox and the standard modules in it.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddy-webhook-inbox/inbox/caddymodule"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
)

func main() {
	caddycmd.Main()
}
