// Tells `pipeline hook` what the sessions of this OpenCode do. It changes nothing, and nobody waits for it.
import { spawn } from "node:child_process"
import { appendFileSync } from "node:fs"

const WORDS_MAX = 160
const SAY_MS_MAX = 5000

export default {
  id: "pipeline",
  tui: async (api, options) => {
    const [program, ...args] = options.command
    const env = { ...process.env, PIPELINE_HOOKS_FILE: options.file }
    const parents = new Map()
    const at_work = new Set()
    const begun = new Set()
    const counted = new Set()
    let main
    let said = Promise.resolve()

    // One after the other: what ends a turn must not be overtaken by what was said before it.
    const call = (document) =>
      new Promise((done) => {
        const child = spawn(program, args, { env, stdio: ["pipe", "ignore", "ignore"], detached: true })
        const late = setTimeout(() => (child.kill(), done()), SAY_MS_MAX)
        const over = () => (clearTimeout(late), done())
        child.on("error", over)
        child.on("exit", over)
        child.stdin.on("error", () => {})
        child.stdin.end(JSON.stringify(document))
      })
    const say = (event, session, more) => {
      const part = parents.has(session) ? { agent_id: session } : {}
      let whole = session
      while (parents.has(whole)) whole = parents.get(whole)
      const document = { hook_event_name: event, session_id: whole, ...part, transcript_path: options.used, ...more }
      said = said.then(() => call(document)).catch(() => {})
    }
    const words = (text) => String(text ?? "").slice(0, WORDS_MAX)
    const on = (type, heard) =>
      api.event.on(type, (event) => {
        try {
          heard(event.properties)
        } catch {}
      })

    on("session.created", ({ info }) => {
      if (info.parentID) parents.set(info.id, info.parentID)
      else {
        if (main) say("SessionEnd", main)
        main = info.id
      }
      say("session.created", info.id)
    })
    on("session.status", ({ sessionID, status }) => {
      if (status.type === "busy") {
        if (!at_work.has(sessionID)) say("session.status", sessionID, { status: "busy" })
        at_work.add(sessionID)
        return
      }
      at_work.delete(sessionID)
      if (status.type !== "retry") return
      const seconds = Math.max(0, Math.ceil((status.next - Date.now()) / 1000))
      const message = `retry in ${seconds} seconds: ${words(status.message)}`
      say("session.status", sessionID, { status: "retry", message })
    })
    on("session.error", ({ sessionID, error }) => {
      const message = words(`${error?.name ?? ""} ${error?.data?.statusCode ?? ""} ${error?.data?.message ?? ""}`)
      if (sessionID) say("session.error", sessionID, { message })
    })
    on("session.idle", ({ sessionID }) => {
      at_work.delete(sessionID)
      say("session.idle", sessionID)
    })
    // What it used, in the words of its own stream.
    const count = ({ id, tokens, cost }) => {
      if (counted.has(id)) return
      counted.add(id)
      const line = { timestamp: new Date().toISOString(), type: "step_finish", part: { tokens, cost } }
      appendFileSync(options.used, JSON.stringify(line) + "\n")
    }
    on("message.part.updated", ({ part }) => {
      if (part.type === "step-finish") count(part)
      if (part.type !== "tool") return
      const over = part.state.status === "completed" || part.state.status === "error"
      if (over ? !begun.delete(part.callID) : begun.has(part.callID)) return
      if (!over) begun.add(part.callID)
      say(over ? "tool.execute.after" : "tool.execute.before", part.sessionID, { tool_name: part.tool })
    })
    on("permission.asked", ({ sessionID, permission }) => say("permission.asked", sessionID, { message: words(permission) }))
    on("permission.replied", ({ sessionID }) => say("permission.replied", sessionID))
    on("question.asked", ({ sessionID, questions }) =>
      say("question.asked", sessionID, { message: words(questions?.[0]?.question) }))
    on("question.replied", ({ sessionID }) => say("question.replied", sessionID))
    on("question.rejected", ({ sessionID }) => say("question.rejected", sessionID))
  },
}
