package badgerqueue_test

import (
	_ "github.com/caddyserver/caddy/v2/caddytest"
	_ "github.com/dgraph-io/badger/v4"
	_ "github.com/dustin/go-humanize"
	_ "github.com/google/uuid"
	_ "github.com/prometheus/client_golang/prometheus"
	_ "github.com/standard-webhooks/standard-webhooks/libraries/go"
	_ "go.uber.org/goleak"
	_ "go.uber.org/zap"
	_ "golang.org/x/sys/unix"
)
