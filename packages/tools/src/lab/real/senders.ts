/** What calls over real sockets. */
import { Lab, Sender } from "@effect-resilience/lab"

export const all: ReadonlyArray<Sender.Sender> = [...Lab.senders, Sender.adaptive]
