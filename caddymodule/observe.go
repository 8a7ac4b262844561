// SPDX-License-Identifier: Apache-2.0

package caddymodule

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-webhook-inbox/inbox/queue"
)

// observer logs and counts what the dispatcher of one endpoint does.
type observer struct {
	in       *inbox
	endpoint string
}

func (o observer) Attempted(a queue.Attempt) {
	o.in.metrics.attemptsTotal.WithLabelValues(o.endpoint, string(a.Outcome)).Inc()
	o.in.metrics.attemptSeconds.WithLabelValues(o.endpoint).Observe(a.Took.Seconds())

	if a.SettleErr != nil {
		o.in.log.Error("noting the outcome of an attempt: the message will be delivered again",
			append(o.attempt(a), zap.Error(a.SettleErr))...)
		return
	}
	if p, ok := errors.AsType[*queue.PanicError](a.Result.Err); ok {
		o.in.log.Error("the delivery route panicked", append(o.attempt(a), zap.ByteString("stack", p.Stack))...)
	}
	switch a.Outcome {
	case queue.Delivered:
		if ce := o.in.log.Check(zap.DebugLevel, "message delivered"); ce != nil {
			ce.Write(o.attempt(a)...)
		}
	case queue.Buried:
		o.in.metrics.buriedTotal.WithLabelValues(o.endpoint).Inc()
		o.in.log.Error("message became a dead letter", append(o.attempt(a), zap.String("reason", a.Reason))...)
	default:
		if ce := o.in.log.Check(zap.InfoLevel, "attempt failed"); ce != nil {
			ce.Write(append(o.attempt(a), zap.Duration("next_in", a.Delay))...)
		}
	}
}

func (o observer) attempt(a queue.Attempt) []zap.Field {
	fields := []zap.Field{
		zap.String("endpoint", o.endpoint),
		zap.Stringer("message", a.Message.ID),
		zap.Int("attempt", a.Number),
		zap.String("outcome", string(a.Outcome)),
		zap.Duration("took", a.Took),
		zap.Duration("age", age(a.Message.ReceivedAt)),
	}
	if a.Result.Status != 0 {
		fields = append(fields, zap.Int("status", a.Result.Status))
	}
	if a.Result.Err != nil {
		fields = append(fields, zap.NamedError("cause", a.Result.Err))
	}
	return fields
}

func (o observer) OutageBegan(out queue.Outage, resumed bool) {
	o.in.log.Error("outage: deliveries pause until the endpoint answers a probe",
		zap.String("endpoint", o.endpoint),
		zap.Bool("since_before_start", resumed),
		zap.String("cause", out.LastError),
		zap.Time("next_probe", out.NextProbe))
}

func (o observer) OutageEnded(out queue.Outage) {
	o.in.log.Info("the outage is over: all waiting messages are delivered now, oldest first",
		zap.String("endpoint", o.endpoint),
		zap.Duration("lasted", age(out.Since).Round(time.Millisecond)),
		zap.Int("probes", out.Probes))
}

func (o observer) StaleTimestamp(m *queue.Message, status int) {
	o.in.log.Warn("the application refused a message whose sender's timestamp is no longer fresh: it probably checks that itself, and should trust the inbox, which did",
		zap.String("endpoint", o.endpoint),
		zap.Stringer("message", m.ID),
		zap.Int("status", status),
		zap.Duration("age", age(m.ReceivedAt)))
}

func (o observer) EngineFailed(err error) {
	if err == nil {
		o.in.log.Info("the queue hands out messages again", zap.String("endpoint", o.endpoint))
		return
	}
	o.in.log.Error("the queue hands out nothing", zap.String("endpoint", o.endpoint), zap.Error(err))
}

var _ queue.Observer = observer{}
