// Commands for a program, a JSON object per line on stdin; events and answers, the same on stdout.

import { createInterface } from "node:readline";

export function tell(event, fields) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + "\n");
}

// Serves commands with the functions of the same names, until stdin ends.
export async function serve(functions) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: name, id, ...fields } = JSON.parse(line);
    Promise.resolve(fields).then(functions[name]).then(
      (result) => tell("answer", { id, result }),
      (error) => tell("answer", { id, code: error.code ?? 0, message: String(error.message ?? error) }),
    );
  }
  process.exit(0);
}
