// Definitions to begin with.
export const STARTERS = [
  {
    key: "hello", title: "a greeting",
    definition: {
      id: "hello", name: "Hello",
      inputSchema: { type: "object", required: ["name"], properties: { name: { type: "string", title: "Name", default: "world" } } },
      nodes: [{ id: "greet", type: "data.set", config: { values: { text: "Hello ${ input.name }" } } }],
      edges: [],
    },
  },
  {
    key: "approval", title: "an approval",
    definition: {
      id: "expense", name: "Expense",
      inputSchema: {
        type: "object", required: ["amount", "purpose"],
        properties: { amount: { type: "number", minimum: 0, title: "Amount" }, purpose: { type: "string", title: "Purpose" } },
      },
      nodes: [
        { id: "large", type: "logic.if", config: { condition: "${ input.amount > 100 }" } },
        { id: "ask", type: "human.approval", config: { title: "Pay ${ input.amount } for ${ input.purpose }?" } },
        { id: "paid", type: "data.set", join: "any", config: { values: { paid: "${ input.amount }" } } },
        { id: "refused", type: "data.set", config: { values: { paid: 0 } } },
      ],
      edges: [
        { source: "large", sourceHandle: "true", target: "ask" }, { source: "large", sourceHandle: "false", target: "paid" },
        { source: "ask", sourceHandle: "approved", target: "paid" }, { source: "ask", sourceHandle: "rejected", target: "refused" },
      ],
    },
  },
  {
    key: "loop", title: "a loop over calls",
    definition: {
      id: "check-pages", name: "Check pages",
      inputSchema: { type: "object", required: ["pages"], properties: { pages: { type: "array", title: "Pages", items: { type: "string", format: "uri" }, default: ["https://example.org/"] } } },
      nodes: [
        { id: "each", type: "logic.foreach", config: { items: "${ input.pages }", concurrency: 4, onItemError: "collect" } },
        { id: "call", type: "http.request", parentId: "each", config: { url: "${ item }" }, retry: { maxAttempts: 3 }, timeoutMs: 10000 },
        { id: "sum", type: "data.set", config: { values: { called: "${ size(nodes.each.output) }" } } },
      ],
      edges: [{ source: "each", target: "sum" }],
    },
  },
];
